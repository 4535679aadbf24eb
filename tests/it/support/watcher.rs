//! An operator's screen that comes back: it follows the live feed over restarts of the service, by
//! its cursor, and remembers every transition it was shown.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::task::JoinHandle;

use super::live::Screen;
use super::service::{Service, poll, spawn, wait_until};

/// A step of an alert, as screens and the database both know it: alert, rule, device, from, to,
/// microseconds since the epoch.
pub(crate) type Step = (String, String, String, String, String, i64);

/// What a watcher has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Every transition in the order it came.
    pub(crate) steps: Vec<Step>,
    /// What each snapshot said of how the client had come back.
    pub(crate) resumes: Vec<String>,
    cursor: Option<String>,
}

/// A screen that comes back.
#[derive(Debug)]
pub(crate) struct Watcher {
    seen: Arc<Mutex<Seen>>,
    following: JoinHandle<()>,
}

impl Watcher {
    /// Follows the feed at `host:port`; returns when the first snapshot has come.
    pub(crate) async fn open(address: &str) -> Self {
        Self::open_as(address, "").await
    }

    /// The same as whoever these lines of head show.
    pub(crate) async fn open_as(address: &str, headers: &str) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let following = spawn(follow(address.to_owned(), headers.to_owned(), Arc::clone(&seen)));
        let watcher = Self { seen, following };
        wait_until("the first snapshot", || !watcher.seen().resumes.is_empty()).await;
        watcher
    }

    /// What it has seen so far.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// Checks that it was shown exactly the transitions that `service`'s database has, in order,
    /// each once, and that each time it came back nothing was left out.
    pub(crate) async fn assert_saw_all(&self, service: &Service) {
        self.assert_saw_all_behind(0, service).await;
    }

    /// The same of those behind the first `n`, which are from before it came.
    pub(crate) async fn assert_saw_all_behind(&self, n: usize, service: &Service) {
        let stored = stored_steps(&service.sql().await).await.split_off(n);
        wait_until("the screen has seen all", || self.seen().steps.len() >= stored.len()).await;
        let seen = self.seen();
        let differs = seen.steps.iter().zip(&stored).position(|(seen, stored)| seen != stored);
        if let Some(at) = differs {
            let around = at.saturating_sub(2)..(at + 3).min(stored.len());
            let (seen, stored) = (&seen.steps[around.clone()], &stored[around]);
            panic!("differs at {at}: seen\n{seen:#?}\nstored\n{stored:#?}");
        }
        assert_eq!(seen.steps.len(), stored.len(), "more: {:?}", &seen.steps[stored.len()..]);
        let (first, others) = seen.resumes.split_first().unwrap();
        assert_eq!(first, "fresh");
        let whole = |resume: &String| resume == "from_memory" || resume == "from_history";
        assert!(others.iter().all(whole), "it had to begin anew: {others:?}");
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.following.abort();
    }
}

/// The rules' transitions in the database in the order of the log.
pub(crate) async fn stored_steps(sql: &tokio_postgres::Client) -> Vec<Step> {
    let rows = sql
        .query(
            "SELECT alert_id, rule, device, from_state, to_state, \
                    (extract(epoch FROM at) * 1000000)::int8 \
             FROM bellwire.transition WHERE step IS NULL ORDER BY position, ordinal",
            &[],
        )
        .await
        .unwrap();
    let step = |row: &tokio_postgres::Row| {
        (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4), row.get(5))
    };
    rows.iter().map(step).collect()
}

async fn follow(address: String, headers: String, seen: Arc<Mutex<Seen>>) {
    let mut pulse = poll();
    loop {
        pulse.tick().await;
        let cursor = seen.lock().unwrap().cursor.clone();
        let opened = Screen::try_open_as(&address, cursor.as_deref(), &headers).await;
        let Some(mut screen) = opened else { continue };
        while let Some(frame) = screen.next_whenever().await {
            seen.lock().unwrap().take(&frame);
        }
    }
}

impl Seen {
    fn take(&mut self, frame: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match frame["type"].as_str() {
            Some("snapshot") => self.resumes.push(text(&frame["resume"])),
            Some("transition") => {
                let alert = &frame["alert"];
                let at = chrono::DateTime::parse_from_rfc3339(frame["at"].as_str().unwrap());
                self.steps.push((
                    text(&alert["id"]),
                    text(&alert["rule"]),
                    text(&alert["device"]),
                    text(&frame["from"]),
                    text(&frame["to"]),
                    at.unwrap().timestamp_micros(),
                ));
            }
            _ => {}
        }
        if let Some(cursor) = frame["cursor"].as_str() {
            self.cursor = Some(cursor.to_owned());
        }
    }
}
