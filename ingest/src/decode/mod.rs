//! Turns one publish into readings, or says why it cannot.
//!
//! A pure function of topic, payload, receive time and of the policy of times and the mappings in
//! force, which the log says: *judge* and *keep* get the same answer.

mod cbor;
mod draft;
mod influx;
mod json;
mod names;
mod object;
mod scalar;
mod senml;
mod sparkplug;
mod status;
mod time;

use std::sync::Arc;

use bellwire_model::{
    Base, CommandId, DeviceId, DeviceKey, Label, LogPosition, MetricKey, Presence, PublishRef,
    Reading, RejectReason, SharedNames, Timestamp,
};

use crate::mapping::{Format, Found, LabelKey, Mappings, ObjectOptions};
use crate::nodes::SharedNodes;
use crate::policy::{Terms, TimePolicy};
use crate::sparkplug::Route as EdgeRoute;
use crate::topics::{self, Route};
use draft::Draft;
use names::NameCache;

/// The deepest nesting of objects in a payload.
pub const DEPTH_MAX: usize = 16;
/// The most readings in one object.
pub const OBJECT_READINGS_MAX: usize = 1_000;
/// The most readings in one payload.
pub const PAYLOAD_READINGS_MAX: usize = 50_000;

/// What was wrong with a payload: the first thing found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The stable reason.
    pub reason: RejectReason,
    /// What and where, for a person.
    pub detail: Box<str>,
}

/// One instant of a payload: its readings are a range of the decoder's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Whose.
    pub device: DeviceKey,
    /// Event time.
    pub at: Timestamp,
    /// The device's own counter.
    pub seq: Option<u64>,
    /// First reading, as an index into the output.
    pub first: u32,
    /// How many readings.
    pub len: u32,
}

/// What one publish came to, beside its readings and spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Whose, if the topic names a device, or else the first of the payload that can be read.
    pub device: Option<DeviceKey>,
    /// Whether the payload carries its own time: then equal bytes are the same event.
    pub own_time: bool,
    /// The newest time in the payload, also of what was left out because of it.
    pub newest: Option<Timestamp>,
    /// What it says beside readings, as few do.
    pub told: Option<Box<Told>>,
    /// What was wrong, if anything was.
    pub fault: Option<Fault>,
}

impl Decoded {
    /// The device and its command that this answers, if it answers one.
    #[must_use]
    pub fn answers(&self) -> Option<(DeviceKey, CommandId)> {
        self.device.zip(self.told.as_ref()?.answers)
    }

    /// It turns out to answer nothing.
    pub(crate) fn is_stray(&mut self) {
        let detail = "no such command of this device waits for an answer".into();
        self.fault = Some(Fault { reason: RejectReason::UnknownCommand, detail });
    }
}

/// What a publish says beside readings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Who says that it is there, or that others are not.
    pub presence: Vec<(DeviceKey, Presence)>,
    /// The topic of a command to a node of Sparkplug that must tell all again.
    pub rebirth: Option<Box<str>>,
    /// How many of Sparkplug's messages were lost before it.
    pub n_lost: u64,
    /// The command that it answers.
    pub answers: Option<CommandId>,
}

/// Readings and their spans, in the order decoded.
#[derive(Debug, Default)]
pub struct Output {
    /// The readings.
    pub readings: Vec<Reading>,
    /// Each instant of each payload.
    pub spans: Vec<Span>,
    /// Units that payloads say.
    pub units: Vec<UnitOf>,
    /// Labels that payloads say.
    pub labels: Vec<LabelsOf>,
}

/// What a device says of itself beside what it measures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelsOf {
    /// Who.
    pub device: DeviceKey,
    /// Whether these are all that it says.
    pub base: Base,
    /// What.
    pub labels: Box<[Label]>,
}

/// In which unit a device measures something, as its payload says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitOf {
    /// Who.
    pub device: DeviceKey,
    /// What.
    pub metric: MetricKey,
    /// As it stands in the payload; what that means is for the format to say.
    pub unit: Arc<str>,
}

/// Decodes publishes; keeps its buffers and name table between them.
#[derive(Debug)]
pub struct Decoder {
    names: NameCache,
    draft: Draft,
    builtin: ObjectOptions,
    mappings: Arc<Mappings>,
    /// The metric that a topic names.
    metric: String,
    edges: sparkplug::Edges,
}

impl Decoder {
    /// A decoder that gives keys from `names`, without mappings.
    #[must_use]
    pub fn new(names: SharedNames) -> Self {
        Self::with_nodes(names, SharedNodes::default())
    }

    /// The same, and what `nodes` have said of themselves holds.
    #[must_use]
    pub fn with_nodes(names: SharedNames, nodes: SharedNodes) -> Self {
        Self {
            edges: sparkplug::Edges::new(nodes),
            names: NameCache::new(names),
            draft: Draft::default(),
            builtin: ObjectOptions::builtin(),
            mappings: Arc::default(),
            metric: String::new(),
        }
    }

    /// From here on these say what other topics mean.
    pub fn set_mappings(&mut self, mappings: Arc<Mappings>) {
        self.mappings = mappings;
    }

    /// From here on this says which times are taken.
    pub const fn set_policy(&mut self, policy: TimePolicy) {
        self.draft.policy = policy;
    }

    /// From here on these decide.
    pub fn set_terms(&mut self, terms: Terms) {
        self.draft.policy = terms.policy;
        self.mappings = terms.mappings;
    }

    /// What decides.
    #[must_use]
    pub fn terms(&self) -> Terms {
        Terms { policy: self.draft.policy, mappings: Arc::clone(&self.mappings) }
    }

    /// The next publish is this one of the log.
    pub const fn set_place(&mut self, position: LogPosition, ordinal: u32) {
        self.edges.place = (position, ordinal);
    }

    /// The key of a device that came or went.
    pub fn device(&mut self, id: &str) -> Option<DeviceKey> {
        self.know_presence();
        self.key(id)
    }

    /// The key of a device; `None` if it can have none.
    pub(crate) fn key(&mut self, id: &str) -> Option<DeviceKey> {
        self.names.device(id).ok()
    }

    /// The names that its keys are of.
    pub(crate) const fn names(&self) -> &SharedNames {
        self.names.shared()
    }

    /// The name of a device that this decoder gave a key.
    #[must_use]
    pub fn device_id(&self, device: DeviceKey) -> DeviceId {
        self.names.device_id(device)
    }

    /// Gives the metric a key that rules know presence by; where there is no room for it, they do not.
    fn know_presence(&mut self) {
        let _known = self.names.metric(Presence::METRIC);
    }

    /// The same as [`Decoder::decode`] of a publish that was received long ago: nothing that it says
    /// of devices' coming and going, or of Sparkplug's nodes, holds any more.
    pub fn decode_again(
        &mut self,
        publish: &PublishRef<'_>,
        received_at: Timestamp,
        out: &mut Output,
    ) -> Decoded {
        self.edges.past = sparkplug::Past::Replayed;
        let mut decoded = self.decode(publish, received_at, out);
        self.edges.past = sparkplug::Past::Present;
        if decoded.answers().is_some() {
            decoded.is_stray();
        }
        Decoded { told: None, ..decoded }
    }

    /// Decodes one publish and appends what can be read to `out`.
    pub fn decode(
        &mut self,
        publish: &PublishRef<'_>,
        received_at: Timestamp,
        out: &mut Output,
    ) -> Decoded {
        if let Some(route) = topics::route(publish.topic) {
            return self.decode_route(route, publish, received_at, out);
        }
        if topics::claims(publish.topic) {
            return rejected(RejectReason::BadTopic, "the topic names no device and metric");
        }
        let mappings = Arc::clone(&self.mappings);
        match mappings.find(publish.topic) {
            Some(found) => self.decode_mapped(found, publish, received_at, out),
            // It was claimed under mappings that are no longer in force.
            None => rejected(RejectReason::BadTopic, "no mapping is for the topic any more"),
        }
    }

    fn decode_route(
        &mut self,
        route: Route<'_>,
        publish: &PublishRef<'_>,
        received_at: Timestamp,
        out: &mut Output,
    ) -> Decoded {
        let (Route::Object { device }
        | Route::Scalar { device, .. }
        | Route::Status { device }
        | Route::Reply { device, .. }) = route;
        let device = match self.names.device(device) {
            Ok(key) => key,
            Err(reason) => return rejected(reason, "the device's name cannot be taken"),
        };
        self.draft.begin(Some(device), received_at, out);
        let Self { names, draft, builtin, .. } = self;
        let mut presence = None;
        match route {
            Route::Status { .. } => {
                presence = status::decode(publish.payload, draft);
                self.know_presence();
            }
            Route::Object { .. } => json::decode(publish.payload, builtin, draft, names, out),
            Route::Scalar { metric, .. } => {
                scalar::decode(metric, publish.payload, draft, names, out);
            }
            // Whatever it says, it is for whoever gave the command.
            Route::Reply { command, .. } => {
                let told = Told { answers: Some(command), ..Told::default() };
                return Decoded { told: Some(Box::new(told)), ..self.decoded(None) };
            }
        }
        self.decoded(presence)
    }

    fn decode_mapped(
        &mut self,
        found: Found<'_, '_>,
        publish: &PublishRef<'_>,
        received_at: Timestamp,
        out: &mut Output,
    ) -> Decoded {
        let mapping = found.mapping;
        if let Format::Sparkplug(labels) = &mapping.format {
            return self.decode_sparkplug(
                (mapping.topic.rest(publish.topic), labels),
                publish,
                received_at,
                out,
            );
        }
        let device = match found.device.map(|device| self.names.device(device)).transpose() {
            Ok(key) => key,
            Err(reason) => return rejected(reason, "the device's name cannot be taken"),
        };
        self.draft.begin(device, received_at, out);
        let Self { names, draft, metric, .. } = self;
        metric.clear();
        mapping.topic.metric_into(publish.topic, metric);
        if metric.is_empty() {
            metric.push_str(mapping.metric.as_deref().unwrap_or_default());
        }
        if mapping.format != Format::Scalar {
            draft.prefix.clone_from(metric);
        }
        let payload = publish.payload;
        let mut presence = None;
        match &mapping.format {
            Format::Json(options) => json::decode(payload, options, draft, names, out),
            Format::Cbor(options) => cbor::decode(payload, options, draft, names, out),
            Format::Influx(options) => influx::decode(payload, options, draft, names, out),
            Format::Senml => senml::decode_json(payload, draft, names, out),
            Format::SenmlCbor => senml::decode_cbor(payload, draft, names, out),
            Format::Scalar if mapping.is_missing(payload) => {}
            Format::Scalar => scalar::decode(metric, payload, draft, names, out),
            Format::Status => {
                presence = status::decode(payload, draft);
                self.know_presence();
            }
            // It has names of its own for devices, and was read before.
            Format::Sparkplug(_) => {}
            // Such topics are not claimed; they were when this was published.
            Format::Ignore => {}
        }
        self.decoded(presence)
    }

    fn decode_sparkplug(
        &mut self,
        (levels, labels): (&str, &[LabelKey]),
        publish: &PublishRef<'_>,
        received_at: Timestamp,
        out: &mut Output,
    ) -> Decoded {
        let Some(route) = EdgeRoute::new(levels) else {
            return rejected(RejectReason::BadTopic, "the topic is of no message of Sparkplug B");
        };
        let device = match self.names.device(&sparkplug::device_name(route)) {
            Ok(key) => key,
            Err(reason) => return rejected(reason, "the device's name cannot be taken"),
        };
        self.draft.begin(Some(device), received_at, out);
        let Self { names, draft, edges, .. } = self;
        let said = edges.decode((route, device, labels), publish.payload, draft, names, out);
        if !said.presence.is_empty() {
            self.know_presence();
        }
        let namespace = publish.topic.strip_suffix(levels).unwrap_or_default();
        let command = || format!("{namespace}{}/NCMD/{}", route.group, route.edge).into();
        let rebirth = said.needs_birth.then(command);
        let told =
            Told { presence: said.presence, rebirth, n_lost: said.n_lost, ..Told::default() };
        let told = (told != Told::default()).then(|| Box::new(told));
        Decoded { told, ..self.decoded(None) }
    }

    fn decoded(&mut self, presence: Option<Presence>) -> Decoded {
        let device = self.draft.owner();
        Decoded {
            device,
            own_time: self.draft.own_time,
            newest: self.draft.newest,
            told: device
                .zip(presence)
                .map(|said| Box::new(Told { presence: vec![said], ..Told::default() })),
            fault: self.draft.fault.take(),
        }
    }
}

fn rejected(reason: RejectReason, detail: &str) -> Decoded {
    let fault = Some(Fault { reason, detail: detail.into() });
    Decoded { device: None, own_time: false, newest: None, told: None, fault }
}

#[cfg(test)]
mod tests;
