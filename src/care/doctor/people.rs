//! The people: whether somebody can administer, and whether the first admin is still to be made.

use std::path::Path;

use bellwire_api::auth::Role;
use bellwire_api::auth::people::{People, User};
use bellwire_api::ports::PeopleStore;
use bellwire_model::{Clock, Timestamp};

use super::Check;
use crate::app::people::PeopleFiles;
use crate::clock::SystemClock;
use crate::config::Config;

const NAME: &str = "people";

pub(super) fn look(config: &Config, data_dir: &Path) -> Check {
    if config.insecure {
        return Check::ok(NAME, "nobody is asked who they are (--insecure)");
    }
    match PeopleFiles::in_dir(data_dir).read() {
        Ok(people) => of_people(&people, SystemClock.now()),
        Err(error) => {
            let remedy = "restore people.json from a backup; `serve` does not start with this one";
            Check::fail(NAME, error.to_string(), remedy)
        }
    }
}

fn of_people(people: &People, now: Timestamp) -> Check {
    if people.is_empty() {
        let remedy =
            "use the set-up code that the start prints, or `bellwire people add NAME --role admin`";
        return Check::warn(NAME, "there is no user yet: the first admin is to be made", remedy);
    }
    let is_admin =
        |user: &User| user.role == Role::Admin && user.access.is_open() && user.password.is_some();
    let n_users = people.users().count();
    let n_admins = people.users().filter(|(_, user)| is_admin(user)).count();
    let n_tokens = people.tokens().count();
    let n_ended = people.tokens().filter(|(_, token)| !token.is_valid(now)).count();
    let detail = format!(
        "{n_users} users, {n_admins} of them admins who sign in by a password; {n_tokens} tokens, {n_ended} ended"
    );
    if n_admins == 0 {
        let remedy = "`bellwire people add NAME --role admin`: nobody can change rules or people";
        return Check::fail(NAME, detail, remedy);
    }
    Check::ok(NAME, detail)
}

#[cfg(test)]
mod tests {
    use bellwire_api::auth::name::UserName;

    use super::super::Status;
    use super::*;

    #[test]
    fn somebody_must_be_able_to_administer() {
        let now = Timestamp::from_secs(1_705_320_000);
        let mut people = People::default();
        assert_eq!(of_people(&people, now).status, Status::Warn);
        let user = User::new(Role::Admin, now);
        people.add(UserName::new("ada").unwrap(), user).unwrap();
        assert_eq!(of_people(&people, now).status, Status::Fail, "she comes by no password");
    }
}
