//! What the registry makes of changes, in whatever order they come.

use super::*;

fn device(name: &str) -> DeviceId {
    DeviceId::new(name).expect("valid")
}

fn pairs(labels: &Labels) -> Vec<(&str, &str)> {
    labels.iter().collect()
}

fn put(base: Base, labels: &[(&str, Option<&str>)]) -> DevicePatch {
    let labels = labels.iter().map(|(name, value)| ((*name).into(), value.map(Into::into)));
    DevicePatch::Put(base, labels.collect())
}

fn born(registry: &mut Registry, base: Base, labels: &[(&str, &str)], secs: i64) -> Noted {
    let labels: Vec<_> = labels.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
    registry.born(&device("d"), (base, &labels), Timestamp::from_secs(secs))
}

fn labels(all: &[(&str, &str)]) -> Labels {
    all.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

const AT: (LogPosition, Timestamp) = (LogPosition(7), Timestamp::EPOCH);

#[test]
fn each_source_shows_where_the_one_before_says_nothing() {
    let mut registry = Registry::default();
    let all = [("site", Some("api")), ("kind", Some("api"))];
    assert!(matches!(registry.patch(&device("d"), &put(Base::Kept, &all), AT), Noted::Changed(_)));
    born(&mut registry, Base::Kept, &[("site", "born"), ("kind", "born"), ("model", "born")], 1);
    let rules = labels(&[("site", "rules"), ("model", "rules")]);
    let shown = |registry: &Registry| match registry.get(&device("d")) {
        Some(profile) => profile.around(&rules),
        None => rules.clone(),
    };
    let of = |registry: &Registry, name: &str| shown(registry).get(name).map(str::to_owned);
    assert_eq!(pairs(&shown(&registry)), [("kind", "api"), ("model", "rules"), ("site", "api")]);
    registry.patch(&device("d"), &put(Base::Kept, &[("site", None)]), AT);
    assert_eq!(of(&registry, "site").as_deref(), Some("rules"));
    registry.patch(&device("d"), &DevicePatch::Remove, AT);
    assert_eq!(of(&registry, "kind").as_deref(), Some("born"));
    registry.patch(&device("d"), &DevicePatch::Forget, AT);
    assert_eq!(of(&registry, "kind"), None);
    assert_eq!((registry.iter().count(), registry.bytes()), (0, 0));
}

#[test]
fn what_is_so_already_changes_nothing() {
    let mut registry = Registry::default();
    assert_eq!(registry.patch(&device("d"), &DevicePatch::Remove, AT), Noted::Same);
    let registering = put(Base::Kept, &[]);
    assert!(matches!(registry.patch(&device("d"), &registering, AT), Noted::Changed(_)));
    let later = (LogPosition(9), Timestamp::EPOCH);
    assert_eq!(registry.patch(&device("d"), &registering, later), Noted::Same);
    assert!(matches!(born(&mut registry, Base::Kept, &[("a", "1")], 1), Noted::Changed(_)));
    assert_eq!(born(&mut registry, Base::Replaced, &[("a", "1")], 1), Noted::Same);
    let replaced = born(&mut registry, Base::Replaced, &[("b", "1")], 1);
    let Noted::Changed(profile) = replaced else { panic!("{replaced:?}") };
    assert_eq!(pairs(&profile.born), [("b", "1")]);
    assert_eq!(profile.registered.as_ref().map(|it| it.revision), Some(LogPosition(7)));
}

#[test]
fn a_device_that_changes_its_labels_all_the_time_is_not_heard() {
    let mut registry = Registry::default();
    let change = |registry: &mut Registry, n: usize, secs| {
        matches!(born(registry, Base::Kept, &[("n", &n.to_string())], secs), Noted::Changed(_))
    };
    let n_changed = (0..100).filter(|n| change(&mut registry, *n, 5)).count();
    assert_eq!(n_changed, 16);
    assert!(change(&mut registry, 200, 6));
    assert!(!change(&mut registry, 201, 6));
    assert_eq!((300..400).filter(|n| change(&mut registry, *n, 9_999)).count(), 16);
}

#[test]
fn labels_are_bounded() {
    let mut registry = Registry::default();
    let many: Vec<_> = (0..LABELS_MAX + 9).map(|n| format!("l{n:03}")).collect();
    let all: Vec<_> = many.iter().map(|name| (name.as_str(), "x")).collect();
    let noted = born(&mut registry, Base::Kept, &all, 1);
    let Noted::Changed(profile) = noted else { panic!("{noted:?}") };
    assert_eq!(profile.born.len(), LABELS_MAX);
    assert_eq!(registry.bytes(), LABELS_MAX * 5);
    registry.bytes = REGISTRY_BYTES_MAX;
    assert_eq!(born(&mut registry, Base::Kept, &[("l000", "xx")], 1), Noted::Refused);
    assert!(matches!(born(&mut registry, Base::Replaced, &[("l000", "xx")], 1), Noted::Changed(_)));
}

#[test]
fn names_and_values_are_checked() {
    for name in ["site", "_a1", "A", "größe"] {
        assert_eq!(check_label_name(name), Ok(()), "{name}");
    }
    for (name, error) in [
        ("", LabelError::BadName),
        ("1a", LabelError::BadName),
        ("a-b", LabelError::BadName),
        ("device", LabelError::Reserved),
    ] {
        assert_eq!(check_label_name(name), Err(error), "{name}");
    }
    assert_eq!(check_label_name(&"a".repeat(65)), Err(LabelError::NameTooLong));
    assert_eq!(check_label_value("Berlin 2"), Ok(()));
    assert_eq!(check_label_value(""), Err(LabelError::Empty));
    assert_eq!(check_label_value("a\nb"), Err(LabelError::Control));
    assert_eq!(check_label_value(&"a".repeat(257)), Err(LabelError::ValueTooLong));
}
