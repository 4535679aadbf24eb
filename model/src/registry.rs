//! What is said about a device beside its readings: labels, by who says them.
//!
//! | source | who | precedence |
//! |---|---|---|
//! | registry | operators, by API or command line | first |
//! | rules | `[[labels]]` of the rules file | second |
//! | births | the device, in payloads whose mapping says which keys are labels | last |
//!
//! Each is kept apart: where one says no more, the next one shows. The rules file is not known here;
//! who knows it lays its labels between ([`Profile::around`]).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use crate::{DeviceId, LogPosition, Timestamp};

/// The most labels that one source may say of a device.
pub const LABELS_MAX: usize = 64;
/// The longest name of a label, in bytes.
pub const LABEL_NAME_BYTES_MAX: usize = 64;
/// The longest value of a label, in bytes.
pub const LABEL_VALUE_BYTES_MAX: usize = 256;
/// The most bytes that labels of all devices may have together, names included: 256 MiB.
pub const REGISTRY_BYTES_MAX: usize = 256 << 20;

/// How many times a device may change its own labels at once, and so often again in each second: each
/// change asks all rules whether they are for it.
const BIRTHS_MAX: u8 = 16;
const BIRTHS_PER_SECOND: i64 = 1;

/// Why a text cannot be a label's name or value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelError {
    /// Names have letters, digits and `_`, and begin with no digit.
    BadName,
    /// `device` is the device's own name.
    Reserved,
    /// The name is longer than [`LABEL_NAME_BYTES_MAX`].
    NameTooLong,
    /// The value is empty: a label that is not there counts as that already.
    Empty,
    /// The value is longer than [`LABEL_VALUE_BYTES_MAX`].
    ValueTooLong,
    /// The value has a control character.
    Control,
}

impl fmt::Display for LabelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName => {
                f.write_str("a label's name has letters, digits and `_`, and begins with no digit")
            }
            Self::Reserved => f.write_str("every device has the label `device` already: its name"),
            Self::NameTooLong => {
                write!(f, "a label's name has at most {LABEL_NAME_BYTES_MAX} bytes")
            }
            Self::Empty => f.write_str("an empty value is no label: remove it instead"),
            Self::ValueTooLong => {
                write!(f, "a label's value has at most {LABEL_VALUE_BYTES_MAX} bytes")
            }
            Self::Control => f.write_str("a label's value has no control characters"),
        }
    }
}

impl std::error::Error for LabelError {}

/// Whether a text can be a label's name.
///
/// # Errors
/// Why it cannot.
pub fn check_label_name(name: &str) -> Result<(), LabelError> {
    let mut chars = name.chars();
    let begins = chars.next().is_some_and(|c| c.is_alphabetic() || c == '_');
    if !begins || !chars.all(|c| c.is_alphanumeric() || c == '_') {
        return Err(LabelError::BadName);
    }
    match name {
        "device" => Err(LabelError::Reserved),
        _ if name.len() > LABEL_NAME_BYTES_MAX => Err(LabelError::NameTooLong),
        _ => Ok(()),
    }
}

/// Whether a text can be a label's value.
///
/// # Errors
/// Why it cannot.
pub fn check_label_value(value: &str) -> Result<(), LabelError> {
    if value.is_empty() {
        return Err(LabelError::Empty);
    }
    if value.len() > LABEL_VALUE_BYTES_MAX {
        return Err(LabelError::ValueTooLong);
    }
    if value.chars().any(char::is_control) { Err(LabelError::Control) } else { Ok(()) }
}

/// A label: its name and its value.
pub type Label = (Arc<str>, Arc<str>);

/// Labels, sorted by name. The label `device` is implied and not among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Vec<Label>);

impl Labels {
    /// The label with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let index = self.0.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        Some(&self.0[index].1)
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Sets a label, whether it was there or not.
    pub fn set(&mut self, name: &Arc<str>, value: &Arc<str>) {
        match self.0.binary_search_by(|(known, _)| known.cmp(name)) {
            Ok(index) => self.0[index].1 = Arc::clone(value),
            Err(index) => self.0.insert(index, (Arc::clone(name), Arc::clone(value))),
        }
    }

    /// Removes a label, if it is there.
    pub fn remove(&mut self, name: &str) {
        if let Ok(index) = self.0.binary_search_by(|(known, _)| (**known).cmp(name)) {
            self.0.remove(index);
        }
    }

    /// Sets all of `over`.
    pub fn lay(&mut self, over: &Self) {
        over.0.iter().for_each(|(name, value)| self.set(name, value));
    }

    /// Bytes of names and values.
    fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

impl FromIterator<Label> for Labels {
    fn from_iter<I: IntoIterator<Item = Label>>(all: I) -> Self {
        let mut labels = Self::default();
        all.into_iter().for_each(|(name, value)| labels.set(&name, &value));
        labels
    }
}

/// What the registry says of a device that it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// Its labels; the label `model` is the device's model.
    pub labels: Labels,
    /// Where the log says that it was registered or changed last.
    pub revision: LogPosition,
    /// When that was.
    pub changed_at: Timestamp,
}

/// How often a device may change its own labels yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Births {
    /// So often at once.
    pub left: u8,
    /// Since then it has earned none.
    pub since: Timestamp,
}

impl Default for Births {
    fn default() -> Self {
        Self { left: BIRTHS_MAX, since: Timestamp::EPOCH }
    }
}

impl Births {
    /// Takes one, if there is one.
    fn take(&mut self, now: Timestamp) -> bool {
        let secs = i64::try_from(now.since(self.since).as_secs()).unwrap_or(i64::MAX);
        if secs > 0 {
            let earned = secs.saturating_mul(BIRTHS_PER_SECOND).saturating_add(self.left.into());
            self.left = u8::try_from(earned).unwrap_or(BIRTHS_MAX).min(BIRTHS_MAX);
            self.since = now;
        }
        let is_left = self.left > 0;
        self.left -= u8::from(is_left);
        is_left
    }
}

/// What is said of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// What the registry says; absent if it does not have the device.
    pub registered: Option<Registered>,
    /// What its births say.
    pub born: Labels,
    /// How often those may change yet.
    pub births: Births,
}

impl Profile {
    /// The labels that count, where the rules file says `rules`.
    #[must_use]
    pub fn around(&self, rules: &Labels) -> Labels {
        let mut labels = self.born.clone();
        labels.lay(rules);
        if let Some(registered) = &self.registered {
            labels.lay(&registered.labels);
        }
        labels
    }

    /// Bytes of all its labels.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let registered = self.registered.as_ref().map_or(0, |it| it.labels.bytes());
        registered + self.born.bytes()
    }
}

/// What becomes of the labels that a source said before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Base {
    /// They stay, but for those that are set or removed.
    #[default]
    Kept,
    /// They go: these are all.
    Replaced,
}

/// A change of what the registry says of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DevicePatch {
    /// It is registered, if it was not, with these labels; those without a value are removed.
    Put(Base, Vec<(Arc<str>, Option<Arc<str>>)>),
    /// The registry does not have it any more.
    Remove,
    /// The same, and what its births said is forgotten too, until the next one.
    Forget,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It is so now.
    Changed(Arc<Profile>),
    /// It was so already.
    Same,
    /// There is no room for it, or a device has changed its own labels too often.
    Refused,
}

/// What is said of all devices. A pure function of the changes made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    profiles: BTreeMap<DeviceId, Arc<Profile>>,
    bytes: usize,
}

impl Registry {
    /// What is said of a device, if anything is.
    #[must_use]
    pub fn get(&self, device: &DeviceId) -> Option<&Arc<Profile>> {
        self.profiles.get(device)
    }

    /// All devices of which something is said, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&DeviceId, &Arc<Profile>)> {
        self.profiles.iter()
    }

    /// Bytes of all labels.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes a change by API. It holds that no source says more than [`LABELS_MAX`] labels of a device:
    /// what is beyond is left out, by the order of the patch.
    pub fn patch(
        &mut self,
        device: &DeviceId,
        patch: &DevicePatch,
        (position, at): (LogPosition, Timestamp),
    ) -> Noted {
        let mut profile = self.profiles.get(device).map(|it| (**it).clone()).unwrap_or_default();
        match patch {
            DevicePatch::Put(base, labels) => {
                let before = profile.registered.take();
                let mut registered =
                    Registered { revision: position, changed_at: at, ..Default::default() };
                if let (Base::Kept, Some(before)) = (base, &before) {
                    registered.labels = before.labels.clone();
                }
                put_all(
                    &mut registered.labels,
                    labels.iter().map(|(name, value)| (name, value.as_ref())),
                );
                if before.as_ref().is_some_and(|before| before.labels == registered.labels) {
                    return Noted::Same;
                }
                profile.registered = Some(registered);
            }
            DevicePatch::Remove => profile.registered = None,
            DevicePatch::Forget => {
                profile.registered = None;
                profile.born = Labels::default();
            }
        }
        self.put(device, profile)
    }

    /// Takes the labels that a birth says.
    pub fn born(
        &mut self,
        device: &DeviceId,
        (base, labels): (Base, &[Label]),
        at: Timestamp,
    ) -> Noted {
        let known = self.profiles.get(device);
        let mut born = match (base, known) {
            (Base::Kept, Some(known)) => known.born.clone(),
            _ => Labels::default(),
        };
        put_all(&mut born, labels.iter().map(|(name, value)| (name, Some(value))));
        if born == known.map(|it| &it.born).cloned().unwrap_or_default() {
            return Noted::Same;
        }
        let mut profile = known.map(|it| (**it).clone()).unwrap_or_default();
        if !profile.births.take(at) {
            return Noted::Refused;
        }
        profile.born = born;
        self.put(device, profile)
    }

    /// Puts a profile in place as it is, from a snapshot or the database.
    pub fn restore(&mut self, device: &DeviceId, profile: Profile) {
        self.set(device, &Arc::new(profile));
    }

    /// Takes over what another registry says of a device.
    pub fn set(&mut self, device: &DeviceId, profile: &Arc<Profile>) {
        let before = match is_nothing(profile) {
            true => self.profiles.remove(device),
            false => self.profiles.insert(device.clone(), Arc::clone(profile)),
        };
        self.bytes += profile.bytes();
        self.bytes -= before.map_or(0, |before| before.bytes());
    }

    fn put(&mut self, device: &DeviceId, profile: Profile) -> Noted {
        let known = self.profiles.get(device);
        if known.map(|it| &**it) == Some(&profile) || (known.is_none() && is_nothing(&profile)) {
            return Noted::Same;
        }
        let before = known.map_or(0, |it| it.bytes());
        let bytes = self.bytes - before + profile.bytes();
        if bytes > REGISTRY_BYTES_MAX && bytes > self.bytes {
            return Noted::Refused;
        }
        let profile = Arc::new(profile);
        self.set(device, &profile);
        Noted::Changed(profile)
    }
}

fn is_nothing(profile: &Profile) -> bool {
    profile.registered.is_none() && profile.born.is_empty()
}

/// Sets and removes labels, as far as there is room.
fn put_all<'a>(
    labels: &mut Labels,
    all: impl Iterator<Item = (&'a Arc<str>, Option<&'a Arc<str>>)>,
) {
    for (name, value) in all {
        match value {
            None => labels.remove(name),
            Some(value) if labels.len() < LABELS_MAX || labels.get(name).is_some() => {
                labels.set(name, value);
            }
            Some(_) => {}
        }
    }
}

/// The registry, shared between *judge*, which writes, and those who ask.
#[derive(Clone, Debug, Default)]
pub struct SharedRegistry(Arc<RwLock<Registry>>);

impl SharedRegistry {
    /// Looks at it. Hold the guard briefly: *judge* waits for it.
    pub fn read(&self) -> RwLockReadGuard<'_, Registry> {
        // A panic while a profile is put in place leaves at most a wrong count of bytes.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes it: `change` gets the only reference.
    pub fn write<T>(&self, change: impl FnOnce(&mut Registry) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is said of a device, if anything is.
    #[must_use]
    pub fn profile(&self, device: &DeviceId) -> Option<Arc<Profile>> {
        self.read().get(device).cloned()
    }
}

#[cfg(test)]
mod tests;
