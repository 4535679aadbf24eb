//! Whether a device is there.

/// Whether a device is connected, or says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Presence {
    /// It is.
    Online,
    /// It is not.
    Offline,
}

impl Presence {
    /// The metric by which rules know it, 1 or 0. A device's own metric of that name is another
    /// source of the same.
    pub const METRIC: &'static str = "online";

    /// Whether it is [`Presence::Online`].
    #[must_use]
    pub const fn is_online(self) -> bool {
        matches!(self, Self::Online)
    }

    /// What a device's status says: `online` or `offline`, and words that mean the same.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        const ONLINE: [&str; 5] = ["online", "connected", "true", "1", "on"];
        const OFFLINE: [&str; 7] =
            ["offline", "disconnected", "false", "0", "off", "lost", "unavailable"];
        let is_one_of = |words: &[&str]| words.iter().any(|it| it.eq_ignore_ascii_case(word));
        if is_one_of(&ONLINE) {
            Some(Self::Online)
        } else if is_one_of(&OFFLINE) {
            Some(Self::Offline)
        } else {
            None
        }
    }
}

impl From<bool> for Presence {
    /// What it is if somebody is there, or nobody.
    fn from(is_there: bool) -> Self {
        if is_there { Self::Online } else { Self::Offline }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_words_are_known() {
        assert_eq!(Presence::from_word("Online"), Some(Presence::Online));
        assert_eq!(Presence::from_word("LOST"), Some(Presence::Offline));
        assert_eq!(Presence::from_word("asleep"), None);
        assert!(Presence::from(true).is_online() && !Presence::from(false).is_online());
    }
}
