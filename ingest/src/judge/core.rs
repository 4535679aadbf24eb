//! The pure half of *judge*: records in, decisions out.

use bellwire_model::publish::PublishIter;
use bellwire_model::{
    AuditEntry, Command, LogId, LogPosition, Observation, SharedNames, SharedRegistry, Timestamp,
};

use crate::audit::SharedAudit;
use crate::commands::{Commands, SharedCommands};
use crate::decode::Decoder;
use crate::group::{Fate, Group};
use crate::log::{Frame, Record, RecordError, RecordKind, Replay};
use crate::mapping::Mappings;
use crate::policy::{SharedTerms, Terms};
use crate::ports::{Moment, Rules};
use crate::present::SharedPresent;
use crate::repetition::{Evidence, Hasher, Limits, Repetition, Window};
use crate::replay::{Replays, unpack_replay};
use crate::skew::Change;
use crate::snapshot::{Places, Restored, Snapshot};
use crate::unpack::{unpack, unpack_devices, unpack_presence, unpack_refused};

/// Everything *judge* knows at a position of the log.
#[derive(Debug)]
pub struct Judge<R> {
    log: LogId,
    pub(super) names: SharedNames,
    present: SharedPresent,
    pub(super) registry: SharedRegistry,
    terms: SharedTerms,
    decoder: Decoder,
    hasher: Hasher,
    window: Window,
    replays: Replays,
    commands: SharedCommands,
    audit: SharedAudit,
    pub(super) rules: R,
}

impl<R: Rules> Judge<R> {
    /// A judge that has seen nothing yet.
    #[must_use]
    pub fn new(
        log: LogId,
        names: SharedNames,
        (present, registry): (SharedPresent, SharedRegistry),
        terms: SharedTerms,
        window: Limits,
        rules: R,
    ) -> Self {
        Self {
            log,
            decoder: Decoder::with_nodes(names.clone(), terms.nodes().clone()),
            names,
            present,
            registry,
            terms,
            hasher: Hasher::new(log),
            window: Window::new(window),
            replays: Replays::default(),
            commands: SharedCommands::default(),
            audit: SharedAudit::default(),
            rules,
        }
    }

    /// The same, and others see its commands.
    #[must_use]
    pub fn with_commands(self, commands: SharedCommands) -> Self {
        Self { commands, ..self }
    }

    /// The same, and others see the last of what people did.
    #[must_use]
    pub fn with_audit(self, audit: SharedAudit) -> Self {
        Self { audit, ..self }
    }

    /// Puts a snapshot in place; the window is still empty, see [`Judge::rebuild`].
    ///
    /// # Errors
    /// If the snapshot is not what this version writes.
    pub fn restore(
        &mut self,
        snapshot: Snapshot,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let Restored { rules, terms, nodes, replays, commands, registry } = self
            .names
            .write(|names| self.present.with(|present| snapshot.restore(names, present)))?;
        self.decoder.set_terms(terms);
        self.commands.with(|it| *it = commands);
        self.terms.nodes().restore(nodes);
        self.replays = replays;
        self.names.write(|names| self.rules.restore(&rules, names, &registry))?;
        self.registry.write(|shared| *shared = registry);
        Ok(())
    }

    /// Takes a record before the snapshot into the window of repetitions, and no more.
    ///
    /// # Errors
    /// If the record is unknown to this version.
    pub fn rebuild(&mut self, frame: &Frame<'_>) -> Result<(), RecordError> {
        let Record::Publishes { client, publishes, .. } = frame.record()? else {
            return Ok(());
        };
        self.window.begin_record(frame.position);
        let client = self.hasher.client_str(client);
        for publish in publishes.flatten() {
            let fingerprint = self.hasher.fingerprint(client, &publish);
            self.window.observe(fingerprint, Evidence::None, frame.received_at);
        }
        Ok(())
    }

    /// Judges one record and adds what comes of it to `group`.
    ///
    /// # Errors
    /// If the record is unknown to this version: going on would lose what it says.
    pub fn judge(&mut self, frame: &Frame<'_>, group: &mut Group) -> Result<(), RecordError> {
        let moment = Moment { position: frame.position, received_at: frame.received_at };
        let out = &mut group.transitions;
        match frame.record()? {
            Record::Tick => {
                self.rules.tick(moment, &self.names.read(), out);
                self.change_commands(moment, group, |_, _| ());
            }
            Record::Started { .. } => {
                self.rules.started(moment);
                self.change_commands(moment, group, |_, _| ());
            }
            Record::Commands(events) => self.change_commands(moment, group, |commands, out| {
                for event in events {
                    commands.apply(event, moment.received_at, out);
                }
            }),
            Record::Rules { text } => self.rules.load(text, moment, &self.names.read(), out),
            Record::TimePolicy(policy) => {
                self.decoder.set_policy(policy);
                self.terms.set(frame.position, self.decoder.terms());
            }
            Record::Mappings { text } => {
                // Checked before it was logged: a later version wrote it.
                let mappings = Mappings::parse(text)
                    .map_err(|_| RecordError::Malformed(RecordKind::Mappings))?;
                self.decoder.set_mappings(mappings.into());
                self.terms.set(frame.position, self.decoder.terms());
            }
            Record::Devices(changes) => {
                let changes = unpack_devices(changes, &mut self.decoder);
                self.register(moment, &changes, group);
            }
            Record::Presence(changes) => {
                let first = group.presence.len();
                unpack_presence(moment, &changes, &mut self.decoder, group);
                self.come_and_go(moment, first, group);
                self.present.with(|present| {
                    for (device, presence, _) in &group.presence[first..] {
                        present.connection(*device, *presence);
                    }
                });
            }
            // What was done has its own record; this says who did it.
            Record::Audit(deed) => {
                let Moment { position, received_at } = moment;
                let entry = AuditEntry { position, received_at, deed: *deed };
                self.audit.push(entry.clone());
                group.audit.push(entry);
            }
            Record::Action(action) => {
                let mut silences = Vec::new();
                self.rules.act(&action, moment, out, &mut silences);
                group.silences.extend(silences.into_iter().map(|it| (moment.position, it)));
            }
            Record::Refused(counts) => unpack_refused(moment, &counts, &mut self.decoder, group),
            Record::Replay(replay) => self.judge_again(moment, &replay, group),
            Record::Publishes { client, publishes, .. } => {
                self.judge_publishes(moment, client, publishes, group);
            }
        }
        Ok(())
    }

    /// Judges what a client published.
    fn judge_publishes(
        &mut self,
        moment: Moment,
        client: &str,
        publishes: PublishIter<'_>,
        group: &mut Group,
    ) {
        let first_presence = group.presence.len();
        let (first_span, first_entry) = (group.output.spans.len(), group.entries.len());
        let first_unit = group.output.units.len();
        let first_labels = group.output.labels.len();
        self.window.begin_record(moment.position);
        let client = self.hasher.client_str(client);
        let (hasher, window) = (self.hasher, &mut self.window);
        let (names, commands) = (&self.names, &self.commands);
        let (mut answered, mut strays) = (Vec::new(), Vec::new());
        unpack(moment, publishes, &mut self.decoder, group, |ordinal, publish, decoded| {
            let fingerprint = hasher.fingerprint(client, publish);
            let evidence = match (decoded.own_time, publish.dup) {
                (true, _) => Evidence::OwnTime,
                (false, true) => Evidence::Dup,
                (false, false) => Evidence::None,
            };
            let repetition = window.observe(fingerprint, evidence, moment.received_at);
            if let (Repetition::New, Some((device, id))) = (repetition, decoded.answers()) {
                let device = names.read().device(device).clone();
                let (payload, at) = (publish.payload, moment.received_at);
                let is_new = commands.with(|it| it.answer(&device, id, payload, at, &mut answered));
                if !is_new {
                    decoded.is_stray();
                    strays.push((moment.position, ordinal));
                }
            }
            repetition
        });
        self.take_births(moment, first_labels, group);
        group.strays.append(&mut strays);
        group.commands.extend(answered.into_iter().map(|it| (moment.position, it)));
        self.observe(moment, first_span, group);
        self.remember(moment.received_at, (first_span, first_entry), group);
        self.measure(first_unit, group);
        self.come_and_go(moment, first_presence, group);
    }

    /// Takes a payload from quarantine, unless it was replayed before. Rules do not judge it: what
    /// comes long after its time would look as if the device's clock had been set back.
    fn judge_again(&mut self, moment: Moment, replay: &Replay, group: &mut Group) {
        let (first_span, first_entry) = (group.output.spans.len(), group.entries.len());
        let first_unit = group.output.units.len();
        let Self { decoder, replays, .. } = self;
        unpack_replay(moment, replay, decoder, group, || replays.admit(replay, moment.position));
        self.remember(replay.received_at, (first_span, first_entry), group);
        self.measure(first_unit, group);
    }

    /// Changes commands, and ends those whose time has run out by then.
    fn change_commands(
        &self,
        moment: Moment,
        group: &mut Group,
        change: impl FnOnce(&mut Commands, &mut Vec<Command>),
    ) {
        let mut changed = Vec::new();
        self.commands.with(|commands| {
            commands.advance(moment.received_at, &mut changed);
            change(commands, &mut changed);
        });
        group.commands.extend(changed.into_iter().map(|it| (moment.position, it)));
    }

    /// When a tick is needed next, for rules or commands.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let commands = self.commands.with(|it| it.next_deadline());
        self.rules.next_deadline().into_iter().chain(commands).min()
    }

    /// Shows the record's instants to the rules.
    fn observe(&mut self, moment: Moment, first_span: usize, group: &mut Group) {
        let names = self.names.read();
        for span in &group.output.spans[first_span..] {
            let first = span.first as usize;
            let observation = Observation {
                device: span.device,
                at: span.at,
                received_at: moment.received_at,
                position: moment.position,
                seq: span.seq,
                readings: &group.output.readings[first..first + span.len as usize],
            };
            self.rules.observe(&observation, &names, &mut group.transitions);
        }
    }

    /// Tells the rules and the present who came and went.
    fn come_and_go(&mut self, moment: Moment, first: usize, group: &mut Group) {
        if group.presence.len() == first {
            return;
        }
        let names = self.names.read();
        for (device, presence, at) in &group.presence[first..] {
            let change = (*device, *presence);
            self.rules.presence(change, moment, &names, &mut group.transitions);
            self.present.with(|present| present.presence(*device, *presence, *at));
        }
    }

    /// Takes the record into the present: its entries and instants, from these on.
    fn remember(
        &self,
        received_at: Timestamp,
        (first_span, first_entry): (usize, usize),
        group: &mut Group,
    ) {
        self.present.with(|present| {
            for entry in &group.entries[first_entry..] {
                let device = present.seen(entry.device, entry.received_at);
                // What is sent again tells the time of the first try.
                let Some(newest) = entry.newest.filter(|_| entry.fate != Fate::Duplicate) else {
                    continue;
                };
                let change = device.clock(newest, entry.received_at);
                group.clock_steps += u64::from(change == Change::Stepped);
                if change != Change::Same {
                    present.count_skewed(entry.device);
                }
            }
            for span in &group.output.spans[first_span..] {
                let first = span.first as usize;
                let readings = &group.output.readings[first..first + span.len as usize];
                // A gateway speaks for others than the device that the publish is accounted to.
                present.seen(span.device, received_at);
                present.readings(span.device, readings);
            }
        });
    }

    /// Takes the units that the record's payloads say into the present.
    fn measure(&self, first_unit: usize, group: &Group) {
        let units = &group.output.units[first_unit..];
        if !units.is_empty() {
            self.present.with(|present| units.iter().for_each(|unit| present.unit(unit)));
        }
    }

    /// What decides at present how publishes are read.
    #[must_use]
    pub fn terms(&self) -> Terms {
        self.decoder.terms()
    }

    /// How many devices' clocks are too far off at present.
    #[must_use]
    pub fn n_skewed(&self) -> usize {
        self.present.with(|present| present.n_skewed())
    }

    /// The rules, to ask for their next deadline.
    pub const fn rules(&self) -> &R {
        &self.rules
    }

    /// The state as of `position`, which is the end of the last record judged; the database is at
    /// `committed`.
    #[must_use]
    pub fn snapshot(&self, position: LogPosition, committed: LogPosition) -> Snapshot {
        let names = self.names.read();
        let mut rules = Vec::new();
        self.rules.snapshot(&names, &mut rules);
        let rebuild_from = self.window.floor().unwrap_or(position);
        let places = Places { position, rebuild_from, committed };
        let terms = (self.terms(), self.terms.nodes().image());
        let mut snapshot = self
            .present
            .with(|present| Snapshot::take(self.log, places, &names, present, terms, rules));
        snapshot.set_replays(self.replays.clone());
        snapshot.set_commands(self.commands.with(|it| it.image()));
        snapshot.set_registry(&self.registry.read());
        snapshot
    }
}
