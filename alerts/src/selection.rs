//! A choice of devices by their labels, as a rule's `select` has it, for others than rules.

use std::cell::Cell;

use bellwire_model::{DeviceId, Labels};

use crate::lang::select::Select;

/// A selection such as `kind = 'freezer' and site =~ 'berlin-.*'`.
#[derive(Clone, Debug)]
pub struct Selection(Select);

/// Why a text is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {message}")]
pub struct SelectionError {
    /// Where, in characters from 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Selection {
    /// Reads a selection.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, SelectionError> {
        Select::parse(text).map(Self).map_err(|problem| SelectionError {
            column: text[..text.floor_char_boundary(problem.span.start)].chars().count() + 1,
            message: match problem.help {
                Some(help) => format!("{}; {help}", problem.message),
                None => problem.message,
            },
        })
    }

    /// Whether it chooses a device with these labels. One that it lacks is the empty text; `device` is
    /// its name.
    #[must_use]
    pub fn chooses(&self, device: &DeviceId, labels: &Labels) -> bool {
        self.0.chooses(&|name: &str| match name {
            "device" => device.as_str(),
            _ => labels.get(name).unwrap_or_default(),
        })
    }

    /// Whether it chooses every device of a group with these labels: only what all of them have in common
    /// counts, so that a label which the group lacks decides nothing in its favour.
    #[must_use]
    pub fn chooses_group(&self, labels: &Labels) -> bool {
        let lacks = Cell::new(false);
        let chosen = self.0.chooses(&|name: &str| {
            labels.get(name).unwrap_or_else(|| {
                lacks.set(true);
                ""
            })
        });
        chosen && !lacks.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_chosen_by_what_it_has_in_common() {
        let labels: Labels = [("site".into(), "berlin".into())].into_iter().collect();
        let chooses = |text: &str| Selection::parse(text).expect(text).chooses_group(&labels);
        assert!(chooses("site = 'berlin'") && chooses("site = 'berlin' or kind = 'oven'"));
        assert!(!chooses("site = 'paris'") && !chooses("site = 'berlin' and kind = 'oven'"));
        assert!(!chooses("kind != 'oven'") && !chooses("kind = ''") && !chooses("device != 'a'"));
    }

    #[test]
    fn a_selection_chooses_by_labels_and_name() {
        let labels: Labels = [("kind".into(), "oven".into())].into_iter().collect();
        let device = DeviceId::new("o-1").expect("valid");
        let chooses = |text: &str| Selection::parse(text).expect(text).chooses(&device, &labels);
        assert!(chooses("kind = 'oven' and device =~ 'o-.*' and site = ''"));
        assert!(!chooses("kind != 'oven'"));
        let error = Selection::parse("kind = ").expect_err("cut");
        assert_eq!(error.column, 8);
        assert!(error.message.contains("a text in single quotes"), "{error}");
    }
}
