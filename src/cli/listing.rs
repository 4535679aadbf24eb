//! Prints a page of a list that the service gave.

use serde_json::Value;

/// A list, as its answer and a person call what is in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listing {
    /// What the rows are called in the answer.
    pub(super) key: &'static str,
    /// The sentence when there are none.
    pub(super) empty: &'static str,
    /// The sentence when the page has not all of them.
    pub(super) more: &'static str,
}

impl Listing {
    /// For programs: a line of JSON for each row.
    pub(super) fn print_json(self, page: &Value) {
        self.rows(page).iter().for_each(|row| println!("{row}"));
    }

    /// For people: each row as `print` does.
    pub(super) fn print(self, page: &Value, print: impl Fn(&Value)) {
        let rows = self.rows(page);
        rows.iter().for_each(print);
        if rows.is_empty() {
            println!("{}", self.empty);
        } else if !page["next"].is_null() {
            println!("{}", self.more);
        }
    }

    fn rows(self, page: &Value) -> &[Value] {
        page[self.key].as_array().map_or(&[], Vec::as_slice)
    }
}
