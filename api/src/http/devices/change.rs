//! Registering devices, and their labels.
//!
//! | route | body |
//! |---|---|
//! | `PUT devices/{id}` | `{"model"?, "labels"?}`: all that the registry says of it |
//! | `PATCH devices/{id}` | the same as a JSON merge patch (RFC 7396): `null` removes |
//! | `DELETE devices/{id}` | none; `?births=forget` forgets what its births said too |
//! | `POST devices` | an array of `{"device", "model"?, "labels"?}`, or one on each line (NDJSON) |
//!
//! The model is the label `model`. All but the last need `If-Match` with the device's `ETag`, or `*`, or,
//! to register a device, `If-None-Match: *`: so nobody overwrites what he has not seen, and no page of
//! another origin can ask for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bellwire_model::registry::{LABELS_MAX, check_label_name, check_label_value};
use bellwire_model::{Base, DeviceId, DevicePatch};
use serde::{Deserialize, Deserializer};
use serde_json::json;

use super::shown;
use crate::app::{App, no_such_device};
use crate::changed::{self, Changed};
use crate::http::{Named, body};
use crate::params::{Params, invalid};
use crate::ports::{ChangedDevice, Known, LabelMap, RegistryError, Seen};
use crate::problem::Problem;

/// The most devices in one request.
const IMPORT_MAX: usize = 10_000;
/// The name of the label that is the model.
const MODEL: &str = "model";

/// Labels with their values; `null` removes one.
type Labels = Vec<(Arc<str>, Option<Arc<str>>)>;

/// What is said of a device; a key that is `null` is told from one that is absent.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Said {
    #[serde(deserialize_with = "present")]
    model: Option<Option<String>>,
    #[serde(deserialize_with = "present")]
    labels: Option<Option<BTreeMap<String, Option<String>>>>,
}

/// One of many.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    device: String,
    #[serde(default, deserialize_with = "present")]
    model: Option<Option<String>>,
    #[serde(default)]
    labels: BTreeMap<String, Option<String>>,
}

fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn unfit(code: &'static str, detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
}

/// Labels and model as labels.
fn labels(
    model: Option<Option<String>>,
    labels: BTreeMap<String, Option<String>>,
) -> Result<Labels, Problem> {
    let mut all = labels;
    if let Some(model) = model
        && let Some(other) = all.insert(MODEL.to_owned(), model.clone())
        && other != model
    {
        let detail = "`model` and the label `model` differ: they are the same.".to_owned();
        return Err(unfit("invalid_label", detail));
    }
    if all.len() > LABELS_MAX {
        let detail = format!("{} labels are more than the limit of {LABELS_MAX}.", all.len());
        return Err(unfit("too_many_labels", detail));
    }
    let check = |(name, value): (String, Option<String>)| {
        let value = value.as_deref();
        check_label_name(&name).and_then(|()| value.map_or(Ok(()), check_label_value)).map_err(
            |error| {
                let shown: String = name.chars().take(64).collect();
                unfit("invalid_label", format!("The label {shown:?}: {error}."))
            },
        )?;
        Ok((name.into(), value.map(Into::into)))
    };
    all.into_iter().map(check).collect()
}

/// `PUT devices/{id}`.
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Named(device): Named,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let Said { model, labels: said } = body::read(&app, &headers, body).await?;
    let mut all = labels(model, said.flatten().unwrap_or_default())?;
    all.retain(|(_, value)| value.is_some());
    let seen = seen(&headers)?;
    let is_new = seen == Seen::None;
    let patch = DevicePatch::Put(Base::Replaced, all);
    let changed = app.ports.registry.change(vec![(device.clone(), patch)], seen).await?;
    let mut answer = shown(&app.device(&device)?);
    if is_new {
        *answer.status_mut() = StatusCode::CREATED;
    }
    Ok(one_changed("device.put", &device, &changed).noted(answer))
}

/// `PATCH devices/{id}`.
pub(crate) async fn patch(
    State(app): State<Arc<App>>,
    Named(device): Named,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let bytes = body::read_as(&app, &headers, body, &["application/merge-patch+json"]).await?;
    let Said { model, labels: said } = body::parse(&bytes)?;
    let said = match said {
        Some(None) => {
            // All labels go, but not the model, of which nothing is said.
            let now = app.device(&device)?.sources.registry.unwrap_or_default();
            let others = now.into_keys().filter(|name| name != MODEL);
            others.map(|name| (name, None)).collect()
        }
        said => said.flatten().unwrap_or_default(),
    };
    let patch = DevicePatch::Put(Base::Kept, labels(model, said)?);
    let changes = vec![(device.clone(), patch)];
    let changed = app.ports.registry.change(changes, seen(&headers)?).await?;
    let answer = shown(&app.device(&device)?);
    Ok(one_changed("device.update", &device, &changed).noted(answer))
}

/// `DELETE devices/{id}?births`.
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Named(device): Named,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let params = Params::read(&uri, &["births"])?;
    let patch = match params.text("births") {
        None => DevicePatch::Remove,
        Some("forget") => DevicePatch::Forget,
        Some(_) => return Err(invalid("births", "`forget`")),
    };
    let changes = vec![(device.clone(), patch)];
    let changed = app.ports.registry.change(changes, seen(&headers)?).await?;
    let answer = StatusCode::NO_CONTENT.into_response();
    Ok(one_changed("device.delete", &device, &changed).noted(answer))
}

/// What the audit log says of a change of one device.
fn one_changed(action: &'static str, device: &DeviceId, changed: &[ChangedDevice]) -> Changed {
    let changed = changed.first();
    Changed {
        action,
        target: device.to_string(),
        before: changed.and_then(|it| changed::shown(it.before.as_ref()?)),
        after: changed.and_then(|it| changed::shown(it.after.as_ref()?)),
    }
}

/// What it says of a change of several: the first of them, by their names.
fn many_changed(n_devices: usize, changed: &[ChangedDevice]) -> Changed {
    let all = |of: fn(&ChangedDevice) -> Option<&LabelMap>| {
        let devices = changed.iter().map(|it| (it.device.as_str(), of(it)));
        changed::shown(&devices.collect::<BTreeMap<_, _>>())
    };
    Changed {
        action: "device.import",
        target: format!("{n_devices} devices"),
        before: all(|it| it.before.as_ref()),
        after: all(|it| it.after.as_ref()),
    }
}

/// `POST devices`: registers them, with these labels beside those that they have. All or none, if all is
/// well with them.
pub(crate) async fn import(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let bytes = body::read_as(&app, &headers, body, &["application/x-ndjson"]).await?;
    let changes = items(&bytes)?;
    let n_devices = changes.len();
    let changed = app.ports.registry.change(changes, Seen::Whatever).await?;
    let answer = axum::Json(json!({ "devices": n_devices })).into_response();
    Ok(many_changed(n_devices, &changed).noted(answer))
}

fn items(bytes: &[u8]) -> Result<Vec<(DeviceId, DevicePatch)>, Problem> {
    let is_array = bytes.trim_ascii_start().first() == Some(&b'[');
    let items: Result<Vec<Item>, _> = if is_array {
        serde_json::from_slice(bytes)
    } else {
        serde_json::Deserializer::from_slice(bytes).into_iter().collect()
    };
    let items = items.map_err(|error| body::invalid(format!("The body is wrong: {error}.")))?;
    if !(1..=IMPORT_MAX).contains(&items.len()) {
        let detail = format!("A request has 1 to {IMPORT_MAX} devices, not {}.", items.len());
        return Err(body::invalid(detail));
    }
    let item = |(index, Item { device, model, labels: said }): (usize, Item)| {
        let place = |problem: Problem| problem.in_item(index);
        let device = DeviceId::new(&device).map_err(|error| {
            let shown: String = device.chars().take(256).collect();
            place(unfit("invalid_device", format!("{shown:?} is no device: {error}.")))
        })?;
        let patch = DevicePatch::Put(Base::Kept, labels(model, said).map_err(place)?);
        Ok((device, patch))
    };
    items.into_iter().enumerate().map(item).collect()
}

/// What the client has seen (RFC 9110, 13.1).
fn seen(headers: &HeaderMap) -> Result<Seen, Problem> {
    if let Some(tag) = headers.get(header::IF_NONE_MATCH) {
        return match tag.as_bytes() {
            b"*" => Ok(Seen::None),
            _ => Err(invalid("If-None-Match", "`*`")),
        };
    }
    Ok(match crate::http::if_match(headers, "device")? {
        Known::Any => Seen::Any,
        Known::Revisions(revisions) => Seen::Revisions(revisions),
    })
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::NoSuchDevice(device) => no_such_device(device.as_str()),
            RegistryError::Exists(device) => {
                let detail = format!("{:?} is registered already: change it.", device.as_str());
                Self::new(StatusCode::PRECONDITION_FAILED, "device_exists", detail)
            }
            RegistryError::Changed { revision } => {
                let detail = format!(
                    "The device has been changed meanwhile, it is at revision {revision}: look at it again."
                );
                Self::new(StatusCode::PRECONDITION_FAILED, "device_changed", detail)
            }
            RegistryError::TooManyLabels(device) => {
                let device = device.as_str();
                let detail = format!("{device:?} would have more than {LABELS_MAX} labels.");
                unfit("too_many_labels", detail)
            }
            RegistryError::Full => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "registry_full",
                "There is no room for more devices, or for more labels.",
            ),
            RegistryError::Busy => Self::later(
                "registry_busy",
                "Other changes of devices take long; this one was not begun.",
                5,
            ),
            RegistryError::Waiting => Self::later(
                "log_full",
                "The change waits for room in the log, and may yet be made: look again.",
                5,
            ),
            RegistryError::Stopping => {
                Self::later("stopping", "The service stops; whether it was made, look again.", 5)
            }
            RegistryError::Port(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_come_as_an_array_or_line_by_line() {
        let array = br#"[{"device": "a", "model": "m"}, {"device": "b", "labels": {"x": "1"}}]"#;
        let lines = b"{\"device\": \"a\", \"model\": \"m\"}\n{\"device\": \"b\", \"labels\": {\"x\": \"1\"}}\n";
        let read = items(array).expect("right");
        assert_eq!(read, items(lines).expect("right"));
        let labels = vec![("x".into(), Some("1".into()))];
        let id = DeviceId::new("b").expect("valid");
        assert_eq!(read[1], (id, DevicePatch::Put(Base::Kept, labels)));
    }

    #[test]
    fn what_cannot_be_said_is_refused_with_its_place() {
        for (body, code) in [
            (&b""[..], "invalid_body"),
            (b"[]", "invalid_body"),
            (br#"[{"device": "a", "lables": {}}]"#, "invalid_body"),
            (br#"[{"device": "a/b"}]"#, "invalid_device"),
            (br#"[{"device": "a", "labels": {"1": "x"}}]"#, "invalid_label"),
            (br#"[{"device": "a", "labels": {"x": ""}}]"#, "invalid_label"),
            (br#"[{"device": "a", "model": "m", "labels": {"model": "n"}}]"#, "invalid_label"),
        ] {
            assert_eq!(items(body).expect_err("wrong").code(), code);
        }
        let many: Vec<_> = (0..65).map(|n| format!("\"l{n}\": \"x\"")).collect();
        let body = format!("{{\"device\": \"a\", \"labels\": {{{}}}}}", many.join(","));
        assert_eq!(items(body.as_bytes()).expect_err("many").code(), "too_many_labels");
    }

    #[test]
    fn null_is_told_from_nothing() {
        let said: Said = serde_json::from_str(r#"{"labels": null}"#).expect("right");
        assert_eq!((said.model, said.labels), (None, Some(None)));
        let said: Said = serde_json::from_str(r#"{"model": null}"#).expect("right");
        assert_eq!((said.model, said.labels), (Some(None), None));
    }
}
