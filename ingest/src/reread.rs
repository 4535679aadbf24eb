//! Reads a stretch of the log again for *keep*, with *judge's* verdicts from the journal.

use std::sync::Arc;

use bellwire_model::{AuditEntry, LogPosition, PublishRef, SharedNames};

use crate::decode::{Decoded, Decoder};
use crate::group::Group;
use crate::journal::Journal;
use crate::keep::KeepError;
use crate::log::{Log, LogReader, Record};
use crate::policy::SharedTerms;
use crate::ports::Moment;
use crate::repetition::Repetition;
use crate::replay::unpack_replay;
use crate::unpack::{unpack, unpack_devices, unpack_presence, unpack_refused};

/// How much log one group takes: bounds it to some ten thousand readings.
const READ_BYTES: usize = 1 << 20;

/// Turns log into groups, without judging.
#[derive(Debug)]
pub(crate) struct Rereader {
    log: Arc<dyn Log>,
    names: SharedNames,
    journal: Arc<Journal>,
    terms: SharedTerms,
    decoder: Decoder,
    /// A reader, and where it stands.
    reader: Option<(LogPosition, LogReader)>,
}

impl Rereader {
    pub(crate) fn new(
        log: &Arc<dyn Log>,
        names: SharedNames,
        journal: Arc<Journal>,
        terms: SharedTerms,
    ) -> Self {
        let log = Arc::clone(log);
        let decoder = Decoder::with_nodes(names.clone(), terms.nodes().clone());
        Self { log, names, journal, terms, decoder, reader: None }
    }

    /// The names that its keys are of.
    pub(crate) fn names(&self) -> SharedNames {
        self.names.clone()
    }

    /// The group that begins at `from`, a record's place, and ends at `to` or before it. All of it
    /// must be judged.
    ///
    /// # Errors
    /// If log or journal cannot be read.
    pub(crate) fn read(&mut self, from: LogPosition, to: LogPosition) -> Result<Group, KeepError> {
        self.read_with(from, to, |_, _, _, _| {})
    }

    /// The same, and shows each publish to `look` when it is decoded.
    pub(crate) fn read_with(
        &mut self,
        from: LogPosition,
        to: LogPosition,
        mut look: impl FnMut(Moment, u32, &PublishRef<'_>, &Decoded),
    ) -> Result<Group, KeepError> {
        let mut reader = match self.reader.take() {
            Some((position, reader)) if position == from => reader,
            _ => self.log.reader(from),
        };
        let mut group = Group::at(from);
        if let Some(chunk) = reader.read(to, READ_BYTES)? {
            self.decoder.set_terms(self.terms.at(from));
            group.end = chunk.end();
            let verdicts = self.journal.read(from, group.end).map_err(KeepError::Journal)?;
            let mut duplicates = verdicts.duplicates.into_iter().peekable();
            let mut strays = verdicts.strays.into_iter().peekable();
            for frame in chunk {
                let moment = Moment { position: frame.position, received_at: frame.received_at };
                let publishes = match frame.record()? {
                    Record::Publishes { publishes, .. } => publishes,
                    Record::Replay(replay) => {
                        let late = |at: &(LogPosition, u32)| *at == (moment.position, 0);
                        let admit = || duplicates.next_if(late).is_none();
                        let decoder = &mut self.decoder;
                        let read = unpack_replay(moment, &replay, decoder, &mut group, admit);
                        if let Some(decoded) = read {
                            look(moment, 0, &replay.publish(), &decoded);
                        }
                        continue;
                    }
                    other => {
                        self.take_control(other, moment, &mut group);
                        continue;
                    }
                };
                unpack(
                    moment,
                    publishes,
                    &mut self.decoder,
                    &mut group,
                    |ordinal, publish, decoded| {
                        if strays.next_if_eq(&(moment.position, ordinal)).is_some() {
                            decoded.is_stray();
                        }
                        look(moment, ordinal, publish, decoded);
                        match duplicates.next_if_eq(&(moment.position, ordinal)) {
                            Some(_) => Repetition::Repeated,
                            None => Repetition::New,
                        }
                    },
                );
            }
            group.transitions = verdicts.transitions;
            group.commands = verdicts.commands;
            group.silences = verdicts.silences;
            // Whether they say anything new, the database sees.
            let said = group.output.labels.iter().map(|said| said.device);
            group.profiled.extend(said);
        } else {
            // Nothing lies between: a position that was skipped when the log was moved on.
            group.end = to;
        }
        self.reader = Some((group.end, reader));
        Ok(group)
    }

    /// Takes a record that is no publish, as far as the database hears of it.
    fn take_control(&mut self, record: Record<'_>, moment: Moment, group: &mut Group) {
        match record {
            // *Judge* has read them.
            Record::TimePolicy(_) | Record::Mappings { .. } => {
                self.decoder.set_terms(self.terms.at(moment.position));
            }
            Record::Refused(counts) => unpack_refused(moment, &counts, &mut self.decoder, group),
            Record::Presence(changes) => {
                unpack_presence(moment, &changes, &mut self.decoder, group);
            }
            Record::Devices(changes) => {
                let changes = unpack_devices(changes, &mut self.decoder);
                group.profiled.extend(changes.into_iter().map(|(device, _)| device));
            }
            Record::Audit(deed) => {
                let Moment { position, received_at } = moment;
                group.audit.push(AuditEntry { position, received_at, deed: *deed });
            }
            Record::Publishes { .. }
            | Record::Replay(_)
            | Record::Tick
            | Record::Started { .. }
            | Record::Rules { .. }
            | Record::Commands(_)
            | Record::Action(_) => {}
        }
    }
}
