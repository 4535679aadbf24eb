//! How objects are read, in JSON and CBOR alike: which keys say the time, the device, and what is
//! left out.

use std::sync::Arc;

use chrono::FixedOffset;

/// A key as readings are named: the keys above it and itself, joined by dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPath {
    text: Box<str>,
    is_nested: bool,
}

impl KeyPath {
    /// Takes `text` as a path.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { text: text.into(), is_nested: text.contains('.') }
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `path`, in an object that is `depth` deep, is this key.
    #[inline]
    #[must_use]
    pub fn is(&self, path: &str, depth: usize) -> bool {
        // An empty key has no part in its children's paths.
        (depth == 0 || self.is_nested) && *self.text == *path
    }

    /// Whether it is inside of `path`.
    #[must_use]
    pub fn is_inside(&self, path: &str) -> bool {
        self.text.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'))
    }

    /// What stands behind it and a dot in `path`, if that is a key inside this one.
    #[must_use]
    pub fn within<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(&*self.text)?.strip_prefix('.')
    }
}

/// A key, or a metric of Sparkplug, that says a label of the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelKey {
    /// Where it stands; slashes count as dots.
    pub path: KeyPath,
    /// The label: what stands behind the last dot or slash.
    pub name: Arc<str>,
}

/// What becomes of arrays inside objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arrays {
    /// They are not understood: the payload is quarantined, its other readings are kept.
    #[default]
    Refuse,
    /// Their elements are named by their index, from 0.
    Index,
}

/// What a time in a text without an offset means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextTime {
    /// It is no time.
    #[default]
    Refuse,
    /// Nobody knows where the clock stands: the receive time counts.
    Unknown,
    /// It has this offset.
    Offset(FixedOffset),
}

/// How an object is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectOptions {
    /// The key of the time.
    pub time: Option<KeyPath>,
    /// What a time in a text without an offset means.
    pub text_time: TextTime,
    /// The key of the device's own counter.
    pub seq: Option<KeyPath>,
    /// The key of the device's name.
    pub device: Option<KeyPath>,
    /// Only what is inside this key is read, and named without it.
    pub root: Option<KeyPath>,
    /// The key of an array of objects: each is an instant, and what stands around the array holds
    /// for all of them. Their own keys are named from the object on.
    pub each: Option<KeyPath>,
    /// The key around the array of a time that theirs are relative to.
    pub base_time: Option<KeyPath>,
    /// Keys that are left out, with everything inside them.
    pub omit: Box<[KeyPath]>,
    /// What becomes of arrays.
    pub arrays: Arrays,
    /// Keys that are labels of the device, and no readings.
    pub labels: Box<[LabelKey]>,
}

impl ObjectOptions {
    /// As `devices/{device}/telemetry` is read.
    #[must_use]
    pub fn builtin() -> Self {
        let (time, seq) = (Some(KeyPath::new("ts")), Some(KeyPath::new("seq")));
        Self { time, seq, ..Self::default() }
    }

    /// Whether this key is left out.
    #[inline]
    #[must_use]
    pub fn omits(&self, path: &str, depth: usize) -> bool {
        self.omit.iter().any(|key| key.is(path, depth))
    }
}
