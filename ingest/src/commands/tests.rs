//! How commands go through their states, step by step.

use std::sync::Arc;

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

pub(super) fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

pub(super) fn device(name: &str) -> DeviceId {
    DeviceId::new(name).expect("valid")
}

pub(super) fn ask(id: u128, name: &str) -> Ask {
    Ask {
        id: CommandId(id),
        device: device(name),
        payload: Box::from(&b"{}"[..]),
        content_type: None,
        reply: Reply::Expected,
        author: None,
        key: None,
        lifetime: HOUR,
    }
}

#[derive(Default)]
struct World(Commands);

impl World {
    fn at(&mut self, secs: i64, event: CommandEvent) -> Vec<CommandState> {
        let mut out = Vec::new();
        self.0.advance(at(secs), &mut out);
        self.0.apply(event, at(secs), &mut out);
        out.into_iter().map(|it| it.state).collect()
    }

    fn ask(&mut self, secs: i64, ask: Ask) -> Vec<CommandState> {
        self.at(secs, CommandEvent::Asked(Box::new(ask)))
    }

    fn sent(&mut self, secs: i64, id: u128, qos: QoS) -> Vec<CommandState> {
        self.at(secs, CommandEvent::Sent { id: CommandId(id), qos, times: 1 })
    }

    fn answer(&mut self, secs: i64, name: &str, id: u128) -> bool {
        self.0.answer(&device(name), CommandId(id), b"ok", at(secs), &mut Vec::new())
    }

    fn state(&self, id: u128) -> Option<CommandState> {
        self.0.get(CommandId(id)).map(|it| it.state)
    }

    fn to_bring(&self, name: &str) -> Vec<u128> {
        self.0.to_bring(&device(name)).map(|it| it.id.0).collect()
    }
}

#[test]
fn a_command_is_queued_sent_acknowledged_and_answered() {
    let mut world = World::default();
    assert_eq!(world.ask(0, ask(1, "a")), [CommandState::Queued]);
    assert_eq!(world.to_bring("a"), [1]);
    assert_eq!(world.sent(5, 1, QoS::AtLeastOnce), [CommandState::Sent]);
    assert_eq!(world.to_bring("a"), [1], "until it is acknowledged");
    let acknowledged = CommandEvent::Acknowledged(CommandId(1));
    assert_eq!(world.at(6, acknowledged.clone()), [CommandState::Acknowledged]);
    assert_eq!(world.at(7, acknowledged), [], "said before");
    assert!(world.to_bring("a").is_empty() && world.0.n_open() == 1);
    assert!(!world.answer(8, "b", 1), "it is not its command");
    assert!(world.answer(9, "a", 1));
    assert!(!world.answer(10, "a", 1), "answered before");
    let command = world.0.get(CommandId(1)).expect("remembered").clone();
    assert_eq!(command.state, CommandState::Answered);
    assert_eq!(command.answer, Some(Answer { at: at(9), payload: Arc::from(&b"ok"[..]) }));
    assert_eq!((command.sent_at, command.acknowledged_at), (Some(at(5)), Some(at(6))));
    assert_eq!((command.ended_at, command.n_sent), (Some(at(9)), 1));
    assert_eq!(world.0.n_open(), 0);
}

#[test]
fn one_without_an_answer_is_done_when_it_is_delivered() {
    let mut world = World::default();
    world.ask(0, Ask { reply: Reply::None, ..ask(1, "a") });
    world.sent(1, 1, QoS::AtLeastOnce);
    world.at(2, CommandEvent::Acknowledged(CommandId(1)));
    assert_eq!((world.state(1), world.0.n_open()), (Some(CommandState::Acknowledged), 0));
    world.ask(3, Ask { reply: Reply::None, ..ask(2, "a") });
    assert_eq!(world.sent(4, 2, QoS::AtMostOnce), [CommandState::Sent], "that is all it can be");
    assert_eq!(world.0.n_open(), 0);
    world.ask(5, ask(3, "a"));
    world.sent(6, 3, QoS::AtMostOnce);
    assert!(world.to_bring("a").is_empty() && world.0.n_open() == 1, "never twice, and awaited");
}

#[test]
fn time_ends_what_is_open_and_a_late_answer_counts() {
    let mut world = World::default();
    world.ask(0, ask(1, "a"));
    world.ask(10, ask(2, "a"));
    assert_eq!(world.0.next_deadline(), Some(at(3_600)));
    let mut out = Vec::new();
    world.0.advance(at(3_599), &mut out);
    assert!(out.is_empty());
    world.0.advance(at(3_600), &mut out);
    assert_eq!((out.len(), world.state(1)), (1, Some(CommandState::Expired)));
    assert_eq!(world.to_bring("a"), [2]);
    assert!(world.answer(4_000, "a", 1));
    assert_eq!(world.state(1), Some(CommandState::Answered));
    assert_eq!(world.0.get(CommandId(1)).expect("there").ended_at, Some(at(3_600)));
}

#[test]
fn only_what_was_not_sent_is_taken_back() {
    let mut world = World::default();
    world.ask(0, ask(1, "a"));
    world.ask(0, ask(2, "a"));
    world.sent(1, 2, QoS::AtLeastOnce);
    assert_eq!(world.at(2, CommandEvent::Cancelled(CommandId(1))), [CommandState::Cancelled]);
    assert_eq!(world.at(2, CommandEvent::Cancelled(CommandId(2))), []);
    assert!(!world.answer(3, "a", 1), "nobody was asked");
    assert_eq!(world.to_bring("a"), [2]);
}

#[test]
fn a_key_means_the_same_command_for_a_day() {
    let mut world = World::default();
    let keyed = |id| Ask { key: Some(("k".into(), 7)), lifetime: HOUR * 48, ..ask(id, "a") };
    world.ask(0, keyed(1));
    assert_eq!(world.ask(86_399, keyed(2)), []);
    let found = world.0.by_key(&device("a"), "k", at(86_399));
    assert_eq!(found.map(|(it, request)| (it.id.0, request)), Some((1, 7)));
    let other = Ask { device: device("b"), ..keyed(3) };
    assert_eq!(world.ask(86_399, other).len(), 1, "another device's is another");
    assert_eq!(world.ask(86_400, keyed(4)).len(), 1);
    assert_eq!(world.to_bring("a"), [1, 4]);
}

#[test]
fn a_device_has_a_hundred_open_commands_at_most() {
    let mut world = World::default();
    for id in 0..100 {
        assert_eq!(world.ask(0, ask(id, "a")).len(), 1);
    }
    assert_eq!(world.ask(0, ask(100, "a")).len(), 0);
    assert_eq!(world.0.room(&device("a"), 1), Err(NoRoom::Device));
    assert_eq!(world.ask(0, ask(101, "b")).len(), 1);
    world.at(0, CommandEvent::Cancelled(CommandId(50)));
    assert_eq!(world.ask(0, ask(102, "a")).len(), 1);
}

#[test]
fn all_devices_together_are_bounded_and_so_is_what_has_ended() {
    let mut world = World::default();
    let large = |id: u128| Ask {
        payload: vec![0; Command::PAYLOAD_BYTES_MAX].into(),
        ..ask(id, &format!("d{}", id / 50))
    };
    let mut n_taken = 0;
    for id in 0..1_100 {
        n_taken += world.ask(0, large(id)).len();
    }
    assert!((900..1_024).contains(&n_taken), "{n_taken}");
    assert_eq!(world.0.room(&device("x"), Command::PAYLOAD_BYTES_MAX), Err(NoRoom::All));
    world.0.advance(at(9_999), &mut Vec::new());
    assert_eq!((world.0.n_open(), world.0.open_bytes), (0, 0));
    assert!(world.0.ended_bytes <= ENDED_BYTES_MAX && world.0.held.len() < 512);
    assert!(world.0.by_device.len() <= 11, "{}", world.0.by_device.len());
}
