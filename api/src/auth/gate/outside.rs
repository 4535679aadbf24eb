//! What the command line changes of people beside the service: what is different then, for the audit log.

use super::{Gate, lock};
use crate::auth::name::UserName;
use crate::auth::people::{ApiToken, People, User};

/// So many differences are kept until somebody takes them; of more it is known how many there are.
const KEPT_MAX: usize = 1_000;

/// Something that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// A user was added, changed or removed.
    User { name: UserName, before: Option<User>, after: Option<User> },
    /// A token was made or removed.
    Token { id: String, before: Option<ApiToken>, after: Option<ApiToken> },
}

/// What is different and was not taken yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outside {
    pub(crate) kept: Vec<Difference>,
    /// Those that had no room.
    pub(crate) n_more: u64,
}

impl Outside {
    fn add(&mut self, difference: Difference) {
        if self.kept.len() < KEPT_MAX {
            self.kept.push(difference);
        } else {
            self.n_more += 1;
        }
    }
}

/// What is different between these people and those, in the order of names.
fn differences(before: &People, after: &People, mut each: impl FnMut(Difference)) {
    let gone = before.users().filter(|(name, _)| after.user(name.as_str()).is_none());
    for (name, user) in gone {
        each(Difference::User { name: name.clone(), before: Some(user.clone()), after: None });
    }
    for (name, user) in after.users() {
        let before = before.user(name.as_str()).map(|(_, user)| user.clone());
        if before.as_ref() != Some(user) {
            each(Difference::User { name: name.clone(), before, after: Some(user.clone()) });
        }
    }
    // A user's tokens go with them.
    let gone = before.tokens().filter(|(id, token)| {
        after.token(id).is_none() && after.user(token.user.as_str()).is_some()
    });
    for (id, token) in gone {
        let before = Some(token.clone());
        each(Difference::Token { id: id.to_owned(), before, after: None });
    }
    for (id, token) in after.tokens() {
        let before = before.token(id).cloned();
        if before.as_ref() != Some(token) {
            let after = Some(token.clone());
            each(Difference::Token { id: id.to_owned(), before, after });
        }
    }
}

impl Gate {
    /// Notes how `people`, as they were found, differ from those that are known.
    pub(super) fn notice(&self, people: &People) {
        let state = lock(&self.state);
        let mut outside = lock(&self.outside);
        differences(&state.people, people, |it| outside.add(it));
    }

    /// What others have changed since it was last asked.
    pub(crate) fn take_outside(&self) -> Outside {
        std::mem::take(&mut *lock(&self.outside))
    }
}

#[cfg(test)]
mod tests {
    use bellwire_model::Timestamp;

    use super::*;
    use crate::auth::Role;
    use crate::auth::people::Access;

    fn name(text: &str) -> UserName {
        UserName::new(text).unwrap()
    }

    #[test]
    fn what_is_added_changed_and_gone_is_told_once_and_bounded() {
        let mut before = People::default();
        for text in ["anna", "bert"] {
            before.add(name(text), User::new(Role::Viewer, Timestamp::EPOCH)).unwrap();
        }
        let mut after = before.clone();
        let mut disabled = before.user("anna").unwrap().1.clone();
        disabled.access = Access::Disabled;
        after.remove("anna").unwrap();
        after.remove("bert").unwrap();
        after.add(name("anna"), disabled.clone()).unwrap();
        after.add(name("cleo"), disabled.clone()).unwrap();
        let mut found = Vec::new();
        differences(&before, &after, |it| found.push(it));
        let was = Some(User::new(Role::Viewer, Timestamp::EPOCH));
        let is = Some(disabled);
        let expected = [
            Difference::User { name: name("bert"), before: was.clone(), after: None },
            Difference::User { name: name("anna"), before: was, after: is.clone() },
            Difference::User { name: name("cleo"), before: None, after: is },
        ];
        assert_eq!(found, expected);
        let mut outside = Outside::default();
        for _ in 0..=KEPT_MAX {
            outside.add(found[0].clone());
        }
        assert_eq!((outside.kept.len(), outside.n_more), (KEPT_MAX, 1));
    }
}
