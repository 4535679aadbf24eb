//! Who is admitted by what, as credentials come and go.

use bellwire_model::ServiceName;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_000);
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn id(id: &str) -> DeviceId {
    DeviceId::new(id).expect("an id")
}

fn account(name: &str, secret: &str) -> Account {
    Account {
        principal: Principal::Device(id(name)),
        speaks_for: Vec::new(),
        standing: Standing::Active,
        secret: Some(SecretHash::of(secret.as_bytes())),
        previous: None,
    }
}

fn token(name: &str, devices: &str) -> ProvisioningToken {
    ProvisioningToken {
        name: name.into(),
        hash: SecretHash::of(format!("bwp_{name}").as_bytes()),
        devices: DevicePattern::new(devices).expect("a pattern"),
        expires_at: Timestamp::from_secs(2_000),
        uses_left: 1,
    }
}

fn changes(scope: Scope, accounts: Vec<Account>) -> Changes {
    Changes { scope, accounts, provisioning: vec![token("line", "line-*")] }
}

fn loaded(accounts: Vec<Account>) -> Directory {
    let mut directory = Directory::default();
    assert!(directory.apply(changes(Scope::All, accounts)).is_empty());
    directory
}

fn check(directory: &Directory, user: &str, password: &[u8], expected: &str) {
    let found = match directory.judge(user, password, NOW) {
        Verdict::Admitted(subject) => subject.principal.to_string(),
        Verdict::Refused(reason) => reason.label().to_owned(),
        Verdict::Register(registration) => format!("by {}", registration.token),
        Verdict::Certified(_) => "certified".to_owned(),
    };
    assert_eq!(found, expected, "{user}");
}

#[test]
fn nobody_comes_in_before_it_is_known_who_there_is() {
    let directory = Directory::default();
    check(&directory, "a", b"one", "unavailable");
    let verdict = directory.judge_certificate(&id("a"), None);
    assert!(matches!(verdict, Verdict::Refused(Reason::Unavailable)));
}

#[test]
fn a_user_is_proven_by_its_own_secret() {
    let mut service = account("b", "two");
    service.principal = Principal::Service(ServiceName::new("b").expect("a name"));
    let directory = loaded(vec![account("a", "one"), service]);
    check(&directory, "a", b"one", "device `a`");
    check(&directory, "b", b"two", "service account `b`");
    check(&directory, "a", b"two", "wrong_password");
    check(&directory, "a", b"", "wrong_password");
    check(&directory, "c", b"one", "unknown_user");
}

#[test]
fn while_a_secret_is_exchanged_both_are_valid() {
    let mut rotated = account("a", "new");
    let until = |until| Some((SecretHash::of(b"one"), until));
    rotated.previous = until(NOW + std::time::Duration::from_secs(1));
    let mut directory = loaded(vec![account("a", "one")]);
    assert!(directory.apply(changes(Scope::Changed, vec![rotated.clone()])).is_empty());
    check(&directory, "a", b"one", "device `a`");
    check(&directory, "a", b"new", "device `a`");
    rotated.previous = until(NOW);
    assert!(directory.apply(changes(Scope::Changed, vec![rotated])).is_empty());
    check(&directory, "a", b"one", "wrong_password");
    check(&directory, "a", b"new", "device `a`");
}

#[test]
fn what_takes_a_right_away_ends_the_connections() {
    let ends = |change: &dyn Fn(&mut Account)| {
        let mut directory = loaded(vec![account("a", "one"), account("b", "two")]);
        let Verdict::Admitted(subject) = directory.judge("a", b"one", NOW) else {
            panic!("it is not admitted");
        };
        let mut changed = account("a", "one");
        change(&mut changed);
        let gone = directory.apply(changes(Scope::Changed, vec![changed]));
        assert_eq!(subject.is_ended(), !gone.is_empty());
        !gone.is_empty()
    };
    assert!(!ends(&|_| {}));
    assert!(ends(&|account| account.standing = Standing::Revoked));
    assert!(ends(&|account| account.secret = Some(SecretHash::of(b"new"))), "without grace");
    assert!(ends(&|account| account.speaks_for = vec![DevicePattern::new("x-*").expect("one")]));
}

#[test]
fn whoever_is_not_among_all_has_to_go() {
    let mut directory = loaded(vec![account("a", "one"), account("b", "two")]);
    assert!(matches!(directory.certify(&id("c")), Verdict::Admitted(_)));
    let gone = directory.apply(changes(Scope::All, vec![account("a", "one")]));
    assert_eq!(gone, [Principal::Device(id("b"))]);
    check(&directory, "b", b"two", "unknown_user");
    assert_eq!(directory.n_accounts(), 1);
    let verdict = directory.judge_certificate(&id("c"), None);
    assert!(matches!(verdict, Verdict::Admitted(_)), "a certificate needs no account");
}

#[test]
fn a_certificate_proves_its_device_and_no_other() {
    let mut service = account("s", "two");
    service.principal = Principal::Service(ServiceName::new("s").expect("a name"));
    let mut directory = loaded(vec![account("a", "one"), service]);
    let check = |directory: &Directory, device: &str, user: Option<&str>, expected: &str| {
        let found = match directory.judge_certificate(&id(device), user) {
            Verdict::Admitted(subject) => subject.principal.to_string(),
            Verdict::Refused(reason) => reason.label().to_owned(),
            Verdict::Certified(device) => format!("certified {device}"),
            Verdict::Register(_) => "registers".to_owned(),
        };
        assert_eq!(found, expected, "{device} as {user:?}");
    };
    check(&directory, "a", None, "device `a`");
    check(&directory, "a", Some("a"), "device `a`");
    check(&directory, "a", Some("b"), "certificate_mismatch");
    check(&directory, "s", None, "certificate_mismatch");
    check(&directory, "new", None, "certified new");
    let Verdict::Admitted(subject) = directory.certify(&id("new")) else {
        panic!("it is not admitted")
    };
    let mut revoked = account("new", "x");
    (revoked.standing, revoked.secret) = (Standing::Revoked, None);
    let gone = directory.apply(changes(Scope::Changed, vec![revoked]));
    assert_eq!(gone, [Principal::Device(id("new"))]);
    assert!(subject.is_ended());
    check(&directory, "new", None, "revoked_certificate");
}

/// `bwp_line.SECRET`.
fn password(token: &str, secret: &[u8]) -> Vec<u8> {
    [format!("bwp_{token}.").as_bytes(), secret].concat()
}

#[test]
fn a_provisioning_token_registers_a_new_device() {
    let mut directory = loaded(vec![account("line-old", "one")]);
    let right = password("line", SECRET);
    check(&directory, "line-1", &right, "by line");
    check(&directory, "other-1", &right, "provisioning_refused");
    check(&directory, "line-1", &password("nine", SECRET), "provisioning_unknown");
    check(&directory, "line-1", &password("line", &SECRET[1..]), "provisioning_refused");
    check(&directory, "line-1", b"bwp_line", "unknown_user");
    check(&directory, "line-old", &right, "provisioning_refused");
    check(&directory, "line-/x", &right, "provisioning_refused");

    let Verdict::Register(registration) = directory.judge("line-1", &right, NOW) else {
        panic!("it is not registered");
    };
    directory.add_registered(registration);
    check(&directory, "line-1", SECRET, "device `line-1`");
    check(&directory, "line-1", &right, "device `line-1`");
    check(&directory, "line-1", &password("gone", SECRET), "device `line-1`");
    let other = SECRET.to_ascii_uppercase();
    check(&directory, "line-1", &password("line", &other), "provisioning_refused");
}

#[test]
fn a_device_that_is_revoked_while_it_is_registered_stays_revoked() {
    let mut directory = loaded(Vec::new());
    let right = password("line", SECRET);
    let Verdict::Register(registration) = directory.judge("line-1", &right, NOW) else {
        panic!("it is not registered");
    };
    let mut revoked = account("line-1", "x");
    (revoked.standing, revoked.secret) = (Standing::Revoked, None);
    directory.apply(changes(Scope::Changed, vec![revoked]));
    directory.add_registered(registration);
    check(&directory, "line-1", SECRET, "revoked");
    check(&directory, "line-1", &right, "provisioning_refused");
}

#[test]
fn a_provisioning_token_ends() {
    let with = |change: &dyn Fn(&mut ProvisioningToken)| {
        let mut token = token("line", "line-*");
        change(&mut token);
        let mut directory = Directory::default();
        let changes =
            Changes { scope: Scope::All, accounts: Vec::new(), provisioning: vec![token] };
        assert!(directory.apply(changes).is_empty());
        directory
    };
    let right = password("line", SECRET);
    check(&with(&|_| {}), "line-1", &right, "by line");
    check(&with(&|token| token.uses_left = 0), "line-1", &right, "provisioning_refused");
    check(&with(&|token| token.expires_at = NOW), "line-1", &right, "provisioning_refused");
    let mut revoked = account("line-1", "x");
    (revoked.standing, revoked.secret) = (Standing::Revoked, None);
    check(&loaded(vec![revoked]), "line-1", &right, "provisioning_refused");
}
