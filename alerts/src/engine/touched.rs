//! The rules that an observation can change: each once, in order, without sorting.

/// A set of places in a plan, as bits. It keeps its memory when it is cleared.
#[derive(Debug, Default)]
pub(crate) struct Touched(Vec<u64>);

impl Touched {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds `positions`, which ascend.
    #[inline]
    pub(crate) fn add(&mut self, positions: &[u32]) {
        let Some(last) = positions.last() else { return };
        let n_words = *last as usize / 64 + 1;
        if self.0.len() < n_words {
            self.0.resize(n_words, 0);
        }
        for position in positions {
            self.0[*position as usize / 64] |= 1 << (position % 64);
        }
    }

    /// Those that were added, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(index, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(index * 64 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_comes_once_in_order() {
        let mut touched = Touched::default();
        touched.add(&[3, 64, 200]);
        touched.add(&[0, 3, 63]);
        touched.add(&[]);
        assert_eq!(touched.iter().collect::<Vec<_>>(), [0, 3, 63, 64, 200]);
        touched.clear();
        assert_eq!(touched.iter().next(), None);
    }
}
