//! Commands under any history: each seed a different one, with restarts in it.

use super::tests::{ask, at, device};
use super::*;

/// Numbers that a seed gives.
struct Dice(u64);

impl Dice {
    /// One below `n`. (xorshift64*, Vigna 2016.)
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }
}

/// What holds of a command however it came to stand there.
fn check(command: &Command, before: Option<&Command>) {
    let is_final = !matches!(
        command.state,
        CommandState::Queued | CommandState::Sent | CommandState::Acknowledged
    );
    assert!(!is_final || !command.is_open(), "{command:?}");
    assert_eq!(command.answer.is_some(), command.state == CommandState::Answered, "{command:?}");
    assert_eq!(command.sent_at.is_some(), command.n_sent > 0, "{command:?}");
    assert!(command.state != CommandState::Cancelled || command.answer.is_none(), "{command:?}");
    assert!(command.state != CommandState::Queued || command.n_sent == 0, "{command:?}");
    let Some(before) = before else { return };
    assert!(
        before.n_sent <= command.n_sent
            && before.sent_at.is_none_or(|_| command.sent_at == before.sent_at)
    );
    assert!(before.answer.is_none() || before.answer == command.answer);
    assert!(before.ended_at.is_none() || before.ended_at == command.ended_at);
    assert_eq!((before.created_at, &before.payload), (command.created_at, &command.payload));
}

fn run(seed: u64) {
    let mut dice = Dice(seed | 1);
    let (mut commands, mut last) = (Commands::default(), HashMap::<CommandId, Command>::new());
    let (mut now, mut n_asked) = (0, 0_u128);
    for _step in 0..400 {
        now += i64::try_from(dice.below(300)).expect("small");
        let some = CommandId(dice.below(n_asked.max(1) as u64 + 1).into());
        let mut out = Vec::new();
        commands.advance(at(now), &mut out);
        let event = match dice.below(6) {
            0 | 1 => {
                n_asked += 1;
                let mut new = ask(n_asked, ["a", "b", "c"][dice.below(3) as usize]);
                new.lifetime = Duration::from_secs(dice.below(20_000));
                new.reply = Reply::ALL[dice.below(2) as usize];
                new.key = (dice.below(3) == 0).then(|| (format!("k{}", dice.below(9)).into(), 0));
                CommandEvent::Asked(Box::new(new))
            }
            2 => {
                let qos = if dice.below(4) == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
                CommandEvent::Sent { id: some, qos, times: 1 }
            }
            3 => CommandEvent::Acknowledged(some),
            4 => CommandEvent::Cancelled(some),
            _ => {
                let owner = commands.get(some).map_or(device("a"), |it| it.device.clone());
                let _taken = commands.answer(&owner, some, b"done", at(now), &mut out);
                CommandEvent::Acknowledged(CommandId(u128::MAX))
            }
        };
        commands.apply(event, at(now), &mut out);
        for command in out {
            check(&command, last.get(&command.id));
            last.insert(command.id, command);
        }
        // What was said last of each is how it stands, and a restart changes nothing.
        for (id, held) in &commands.held {
            assert_eq!(last.get(id), Some(&held.command));
        }
        if dice.below(10) == 0 {
            let again = Commands::from_image(&commands.image()).expect("as written");
            assert_eq!(again, commands);
            commands = again;
        }
    }
    for name in ["a", "b", "c"] {
        let numbers: Vec<u128> = commands.to_bring(&device(name)).map(|it| it.id.0).collect();
        assert!(numbers.is_sorted(), "in the order they were asked for: {numbers:?}");
        assert!(numbers.len() <= OPEN_PER_DEVICE_MAX);
    }
    let open: usize = commands.held.values().filter(|it| it.command.is_open()).count();
    assert_eq!(open, commands.n_open());
    let bytes = |it: &Held| it.command.bytes();
    let open_bytes: usize =
        commands.held.values().filter(|it| it.command.is_open()).map(bytes).sum();
    assert_eq!(commands.open_bytes, open_bytes);
    let all_bytes: usize = commands.held.values().map(bytes).sum();
    assert_eq!(commands.open_bytes + commands.ended_bytes, all_bytes);
}

#[test]
fn every_history_leads_to_states_that_make_sense() {
    (1..=200).for_each(|seed| run(seed * 0x9E37_79B9));
}
