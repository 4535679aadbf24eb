//! How alerts are handled reads back as it was written, and silences stand as they were written last.

use std::sync::Arc;

use bellwire_model::{
    Acknowledgement, AlertId, AlertState, Cursor, Handling, LogPosition, Matchers, Silence,
    SilenceId, Step, StepKind, Timestamp, Transition,
};
use bellwire_store::on_every_kind;
use bellwire_store::testing::Kind;
use bellwire_store::{AlertPage, HandlingFilter};

use crate::support::{LOG, NOON, batch, names, sql, transition};

on_every_kind! {
    steps_and_handling_read_back,
    silences_stand_as_they_were_written_last,
}

/// A step of a firing alert, with everything that can be said of its handling.
fn step(position: u64) -> Transition {
    let mut step = transition(position, AlertState::Firing, AlertState::Firing);
    step.step = Some(Box::new(Step {
        kind: StepKind::Acknowledged,
        by: Some("ada".into()),
        text: Some("I look\nnow".into()),
    }));
    step.alert.labels = Some(Arc::new([("site".into(), "ü\"".into())].into_iter().collect()));
    step.alert.handling = Some(Box::new(Handling {
        acknowledged: Some(Acknowledgement { by: "ada".into(), at: Timestamp::from_secs(NOON) }),
        assigned_to: Some("bo".into()),
        snoozed_until: Some(Timestamp::from_secs(NOON + 60)),
        latched: true,
        silenced_by: vec![SilenceId(7), SilenceId(u128::MAX)],
        inhibited_by: Some(AlertId(9)),
        escalation: 2,
    }));
    step
}

async fn steps_and_handling_read_back(kind: Kind) {
    let database = kind.database().await;
    let store = database.open();
    let (mut writer, _) = store.writer(LOG).await.expect("opened");
    let fired = transition(10, AlertState::Inactive, AlertState::Firing);
    let mut batch = batch(0, 100, Vec::new());
    batch.transitions = vec![fired.clone(), step(20)];
    writer.write(&batch, &names(1, 1)).await.expect("stored");
    let queries = store.queries().expect("valid");
    let id = fired.alert.id;
    let all = queries.transitions_of(id).await.expect("answers");
    assert_eq!(all, [fired, step(20)]);
    assert_eq!(queries.alert(id).await.expect("answers"), Some(step(20).alert));
    let cursor = Cursor { log: LOG, position: LogPosition(10), ordinal: 1 };
    let after = queries.transitions_after(cursor, 10).await.expect("answers");
    assert_eq!(after, Some(vec![step(20)]));
    let found = async |handled: HandlingFilter| {
        let page = AlertPage { limit: 10, handled, ..AlertPage::default() };
        queries.alerts(&page).await.expect("answers").len()
    };
    let set = HandlingFilter {
        acknowledged: Some(true),
        silenced: Some(true),
        latched: Some(true),
        assigned_to: Some("bo".to_owned()),
    };
    assert_eq!(found(set.clone()).await, 1);
    assert_eq!(found(HandlingFilter { latched: Some(false), ..set.clone() }).await, 0);
    assert_eq!(found(HandlingFilter { assigned_to: Some("cy".to_owned()), ..set }).await, 0);
    let client = sql(&database.url).await;
    let row = client.query_one("SELECT count(*) FROM alert_transitions", &[]).await.expect("rows");
    assert_eq!(row.get::<_, i64>(0), 1, "the view has what rules said");
    let steps = "SELECT step, by, text, state FROM alert_steps";
    let row = client.query_one(steps, &[]).await.expect("one");
    let shown: [&str; 4] = [row.get(0), row.get(1), row.get(2), row.get(3)];
    assert_eq!(shown, ["acknowledged", "ada", "I look\nnow", "firing"]);
    let alerts = "SELECT silenced, inhibited, escalation, labels->>'site' FROM alerts";
    let row = client.query_one(alerts, &[]).await.expect("one");
    let shown: (bool, bool, i16, &str) = (row.get(0), row.get(1), row.get(2), row.get(3));
    assert_eq!(shown, (true, true, 2, "ü\""));
}

async fn silences_stand_as_they_were_written_last(kind: Kind) {
    let database = kind.database().await;
    let store = database.open();
    let (mut writer, _) = store.writer(LOG).await.expect("opened");
    let silence = |version: u32, matchers: &str| {
        Arc::new(Silence {
            id: SilenceId(5),
            version,
            matchers: Matchers::parse(matchers).expect("right"),
            starts_at: Timestamp::from_secs(NOON),
            ends_at: Timestamp::from_secs(NOON + 3_600),
            schedule: (version > 1).then(|| ("mon-fri".into(), "UTC".into())),
            author: "ada".into(),
            reason: "works".into(),
            created_at: Timestamp::from_secs(NOON),
            updated_at: Timestamp::from_secs(NOON + i64::from(version)),
        })
    };
    let mut first = batch(0, 100, Vec::new());
    first.silences = vec![silence(1, "a=b"), silence(2, "a=\"c\"")];
    writer.write(&first, &names(1, 1)).await.expect("stored");
    let mut second = batch(100, 200, Vec::new());
    second.silences = vec![silence(3, "a=\"d\"")];
    writer.write(&second, &names(1, 1)).await.expect("stored");
    let client = sql(&database.url).await;
    let row = client.query_one("SELECT version, matchers, schedule FROM silences", &[]).await;
    let row = row.expect("one");
    let shown: (i32, &str, &str) = (row.get(0), row.get(1), row.get(2));
    assert_eq!(shown, (3, "a=\"d\"", "mon-fri"));
}
