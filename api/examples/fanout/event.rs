//! The event that all servers send, and the time that it carries.

use std::time::{SystemTime, UNIX_EPOCH};

use bellwire_model::{
    Alert, AlertId, AlertState, LogPosition, RuleName, Severity, Timestamp, Transition,
};

/// What stands before the time in an event's text.
const MARK: &[u8] = b"t=";
/// How many digits the time has.
const DIGITS: usize = 16;

/// Microseconds since 1970, by the clock that all processes share.
#[expect(clippy::disallowed_methods, reason = "processes that measure share this clock only")]
pub(crate) fn now_us() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    u64::try_from(now.as_micros()).expect("for half a million years")
}

/// When an event was sent, by what its text says; `None` if this is no event.
pub(crate) fn sent_us(text: &[u8]) -> Option<u64> {
    let at = text.windows(MARK.len()).position(|it| it == MARK)? + MARK.len();
    std::str::from_utf8(text.get(at..at + DIGITS)?).ok()?.parse().ok()
}

/// The `n`-th event's instant at `rate` a second after `start`, as [`now_us`] counts: how long an event
/// takes is counted from when it was due, so that a server that falls behind does not look quick.
pub(crate) const fn due_us(start_us: u64, n: u64, rate: u64) -> u64 {
    start_us + n * 1_000_000 / rate
}

/// An event as JSON, as our feed sends it.
pub(crate) fn json(position: u64, due_us: u64) -> String {
    format!(
        r#"{{"type":"transition","cursor":"00000000000000000000000000000001-{position}-0","alert":{{"id":"0000000000000007","rule":"too-warm","device":"freezer-1","severity":"critical","state":"firing","since":"2023-11-14T22:13:20.000000Z","fired_at":"2023-11-14T22:13:20.000000Z","resolved_at":null,"value":-3.5,"summary":"t={due_us:016}","acknowledged_by":null,"acknowledged_at":null,"assigned_to":null,"snoozed_until":null,"latched":false,"silenced":false,"inhibited":false,"escalation":0,"labels":{{}}}},"from":"inactive","to":"firing","at":"2023-11-14T22:13:20.000000Z","reason":"temperature > -15 held for 2m","rule_version":"0000000000000001","times":{{"received":"1970-01-01T00:00:00.000000Z","durable":"1970-01-01T00:00:00.000000Z","judged":"1970-01-01T00:00:00.000000Z","sent":"1970-01-01T00:00:00.000000Z"}}}}"#
    )
}

/// The same, before it is JSON.
pub(crate) fn transition(position: u64, due_us: u64) -> Transition {
    let at = Timestamp::from_secs(1_700_000_000);
    let alert = Alert {
        id: AlertId(position % 100),
        rule: RuleName::new("too-warm").expect("valid"),
        device: bellwire_model::Target::new("freezer-1").expect("valid"),
        severity: Severity::Critical,
        state: AlertState::Firing,
        since: at,
        fired_at: Some(at),
        resolved_at: None,
        value: Some(-3.5),
        summary: format!("t={due_us:016}"),
        labels: None,
        handling: None,
    };
    Transition {
        position: LogPosition(position),
        ordinal: 0,
        alert,
        from: AlertState::Inactive,
        to: AlertState::Firing,
        at,
        received_at: at,
        rule_version: 1,
        reason: "temperature > -15 held for 2m".into(),
        correction: None,
        historical: false,
        step: None,
    }
}
