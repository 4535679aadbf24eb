//! What may be done to people, and what may not.

use super::*;
use crate::auth::secret::Secret;

fn name(text: &str) -> UserName {
    UserName::new(text).unwrap()
}

fn user(role: Role) -> User {
    let password = Some(PasswordHash::of_nobody());
    User { password, ..User::new(role, Timestamp::EPOCH) }
}

fn token(user: &str, name: &str, purpose: Purpose) -> ApiToken {
    ApiToken {
        name: name.to_owned(),
        user: self::name(user),
        purpose,
        scope: None,
        hash: Secret::random().unwrap().hash(),
        created_at: 0,
        expires_at: 100,
    }
}

fn people() -> People {
    let mut people = People::default();
    people.set_up(name("root"), user(Role::Admin)).unwrap();
    people.add(name("anna"), user(Role::Operator)).unwrap();
    people.add(name("bert"), user(Role::Viewer)).unwrap();
    people
}

#[test]
fn it_is_set_up_once() {
    let mut people = people();
    let again = people.set_up(name("eve"), user(Role::Admin));
    assert_eq!(again, Err(PeopleError::SetUp));
    assert_eq!(
        people.add(name("Anna"), user(Role::Viewer)),
        Err(PeopleError::Exists(name("anna")))
    );
}

#[test]
fn somebody_who_can_administer_is_always_left() {
    let mut people = people();
    let last = Err(PeopleError::LastAdmin(name("root")));
    let demote = UserPatch { role: Some(Role::Viewer), ..UserPatch::default() };
    let disable = UserPatch { access: Some(Access::Disabled), ..UserPatch::default() };
    assert_eq!(people.change("root", demote.clone()), last);
    assert_eq!(people.change("root", disable), last);
    assert_eq!(people.remove("root").map(drop), last);
    // Who comes by a provider may not come tomorrow.
    let subject = OidcSubject { issuer: "i".to_owned(), subject: "s".to_owned() };
    people.come_by_provider(name("olga"), subject, Role::Admin, Timestamp::EPOCH).unwrap();
    assert_eq!(people.change("root", demote.clone()), last);
    people.change("anna", UserPatch { role: Some(Role::Admin), ..UserPatch::default() }).unwrap();
    people.change("root", demote).unwrap();
    assert_eq!(people.remove("root").map(|it| it.role), Ok(Role::Viewer));
}

#[test]
fn an_admin_has_no_scope() {
    let mut people = people();
    let scope = Some("site = 'a'".to_owned());
    let scoped = User { scope: scope.clone(), ..user(Role::Admin) };
    assert_eq!(people.add(name("carl"), scoped), Err(PeopleError::ScopedAdmin));
    people.change("anna", UserPatch { scope: Some(scope), ..UserPatch::default() }).unwrap();
    let promote = UserPatch { role: Some(Role::Admin), ..UserPatch::default() };
    assert_eq!(people.change("anna", promote.clone()), Err(PeopleError::ScopedAdmin));
    people.change("anna", UserPatch { scope: Some(None), ..promote }).unwrap();
}

#[test]
fn a_token_may_not_do_more_than_its_user_and_goes_with_them() {
    let mut people = people();
    let more = people.add_token("1".to_owned(), token("anna", "a", Purpose::Admin));
    assert_eq!(more, Err(PeopleError::MoreThanUser(Role::Operator)));
    let more = people.add_token("1".to_owned(), token("bert", "a", Purpose::Telemetry));
    assert_eq!(more, Err(PeopleError::MoreThanUser(Role::Viewer)));
    people.add_token("1".to_owned(), token("anna", "a", Purpose::Operator)).unwrap();
    let twice = people.add_token("2".to_owned(), token("anna", "a", Purpose::Viewer));
    assert_eq!(twice, Err(PeopleError::TokenExists("a".to_owned())));
    people.add_token("2".to_owned(), token("bert", "a", Purpose::Viewer)).unwrap();
    for bad in ["", "a/b", "a\nb", &"x".repeat(65)] {
        let made = people.add_token("3".to_owned(), token("anna", bad, Purpose::Viewer));
        assert_eq!(made, Err(PeopleError::BadTokenName), "{bad:?}");
    }
    people.remove("anna").unwrap();
    assert!(people.token("1").is_none() && people.token("2").is_some());
    assert_eq!(people.remove_token("1"), Err(PeopleError::NoSuchToken("1".to_owned())));
}

#[test]
fn there_are_so_many_tokens_and_no_more() {
    let mut people = people();
    for n in 0..TOKENS_OF_USER_MAX {
        let token = token("anna", &n.to_string(), Purpose::Viewer);
        people.add_token(n.to_string(), token).unwrap();
    }
    let more = people.add_token("x".to_owned(), token("anna", "x", Purpose::Viewer));
    assert_eq!(more, Err(PeopleError::TooMany(TOKENS_OF_USER_MAX)));
}

#[test]
fn a_new_password_and_being_disabled_end_sessions() {
    let mut people = people();
    people.set_password("anna", PasswordHash::of_nobody()).unwrap();
    assert_eq!(people.user("anna").unwrap().1.epoch, 1);
    let access = |access| UserPatch { access: Some(access), ..UserPatch::default() };
    people.change("anna", access(Access::Disabled)).unwrap();
    people.change("anna", access(Access::Open)).unwrap();
    assert_eq!(people.user("anna").unwrap().1.epoch, 2);
}

#[test]
fn a_provider_gives_nobody_the_name_of_somebody_else() {
    let mut people = people();
    let subject = |it: &str| OidcSubject { issuer: "i".to_owned(), subject: it.to_owned() };
    let mut come = |who: &str, it, role| {
        people.come_by_provider(name(who), subject(it), role, Timestamp::EPOCH)
    };
    assert_eq!(come("anna", "1", Role::Admin), Err(PeopleError::Foreign(name("anna"))));
    come("olga", "1", Role::Viewer).unwrap();
    assert_eq!(come("olga", "2", Role::Admin), Err(PeopleError::Foreign(name("olga"))));
    come("olga", "1", Role::Operator).unwrap();
    assert_eq!(people.user("olga").unwrap().1.role, Role::Operator);
    let password = people.set_password("olga", PasswordHash::of_nobody());
    assert_eq!(password, Err(PeopleError::Foreign(name("olga"))));
}

#[test]
fn people_are_read_as_they_were_written_and_nothing_else_is() {
    let mut people = people();
    people.add_token("1".to_owned(), token("anna", "a", Purpose::Telemetry)).unwrap();
    let text = serde_json::to_string(&people).unwrap();
    assert_eq!(serde_json::from_str::<People>(&text).unwrap(), people);
    let other = text.replace("\"role\":\"viewer\"", "\"role\":\"god\"");
    assert!(serde_json::from_str::<People>(&other).is_err());
}
