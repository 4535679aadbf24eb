//! Clients that come back: from memory, from history, and with cursors that lead nowhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bellwire_model::AlertState;
use serde_json::json;

use crate::support::{LOG, START, Service, position, transition, within};

fn firing(n: u64) -> bellwire_model::Transition {
    transition(START.0 + n, n, AlertState::Firing)
}

#[tokio::test]
async fn what_was_missed_comes_from_memory_then_the_present() {
    let service = Service::start().await;
    let mut client = service.live("").await;
    client.expect("snapshot").await;
    service.happen(&firing(0));
    let cursor = client.expect("transition").await["cursor"].clone();
    let cursor = cursor.as_str().expect("a cursor");
    service.happen(&firing(1));
    service.happen(&firing(2));
    client.expect("transition").await;
    client.expect("transition").await;
    drop(client);
    let mut back = service.live(&format!("?cursor={cursor}")).await;
    for n in [1, 2] {
        assert_eq!(position(&back.expect("transition").await), START.0 + n);
    }
    let snapshot = back.expect("snapshot").await;
    assert_eq!(snapshot["resumed"], true);
    assert_eq!(snapshot["resume"], "from_memory");
    assert_eq!(snapshot["alerts"].as_array().map(Vec::len), Some(3));
    service.happen(&firing(3));
    assert_eq!(position(&back.expect("transition").await), START.0 + 3);
    assert!(service.kept.asked.lock().expect("whole").is_empty(), "memory had it all");
    assert_eq!(service.metric(r#"bellwire_live_resumes_total{outcome="from_memory"}"#), 1.0);
}

#[tokio::test]
async fn what_memory_no_longer_has_comes_from_history() {
    let service = Service::start_with(|config| {
        config.live.ring_transitions = 5.try_into().expect("not zero");
        config.live.client_lag_max = 5.try_into().expect("not zero");
    })
    .await;
    let mut watcher = service.live("").await;
    watcher.expect("snapshot").await;
    for n in 0..1_300 {
        service.happen(&firing(n));
        watcher.expect("transition").await;
    }
    let mut back = service.live(&format!("?cursor={LOG}-{}-0", START.0 + 4)).await;
    for n in 5..1_300 {
        assert_eq!(position(&back.expect("transition").await), START.0 + n);
    }
    let snapshot = back.expect("snapshot").await;
    assert_eq!((&snapshot["resumed"], &snapshot["resume"]), (&json!(true), &json!("from_history")));
}

/// *Judge* writes a transition to the journal first, and tells the feed of it then.
#[tokio::test]
async fn what_history_knows_before_the_feed_does_is_heard_once() {
    let service = Service::start().await;
    let missed = transition(START.0 - 5, 7, AlertState::Firing);
    service.kept.transitions.lock().expect("whole").extend([missed, firing(0)]);
    let mut back = service.live(&format!("?cursor={LOG}-{}-0", START.0 - 10)).await;
    assert_eq!(position(&back.expect("transition").await), START.0 - 5);
    assert_eq!(back.expect("snapshot").await["resume"], "from_history");
    service.happen(&firing(0));
    service.happen(&firing(1));
    for n in [0, 1] {
        assert_eq!(position(&back.expect("transition").await), START.0 + n);
    }
}

#[tokio::test]
async fn a_cursor_that_leads_nowhere_gets_a_snapshot_that_says_so() {
    let service = Service::start_with(|config| {
        config.live.ring_transitions = 2.try_into().expect("not zero");
        config.live.resume_transitions_max = 3.try_into().expect("not zero");
    })
    .await;
    let mut watcher = service.live("").await;
    watcher.expect("snapshot").await;
    for n in 0..9 {
        service.happen(&firing(n));
        watcher.expect("transition").await;
    }
    let check = async |cursor: &str, outcome: &str, n_before: usize| {
        let mut client = service.live(&format!("?cursor={cursor}")).await;
        for _ in 0..n_before {
            client.expect("transition").await;
        }
        let snapshot = client.expect("snapshot").await;
        assert_eq!(snapshot["resumed"], false, "{cursor}");
        assert_eq!(snapshot["resume"], outcome, "{cursor}");
        assert_eq!(snapshot["alerts"].as_array().map(Vec::len), Some(9), "{cursor}");
    };
    check("nonsense", "bad_cursor", 0).await;
    check(&format!("{}-1003-0", bellwire_model::LogId(9)), "other_log", 0).await;
    check(&format!("{LOG}-999999-0"), "ahead", 0).await;
    check(&format!("{LOG}-1001-0"), "too_old", 3).await;
    service.kept.away.store(true, Ordering::Relaxed);
    check(&format!("{LOG}-1001-0"), "history_away", 0).await;
    check("", "fresh", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_client_that_is_cut_off_again_and_again_hears_everything_once() {
    const N: u64 = 4_000;
    let service = Arc::new(
        Service::start_with(|config| {
            config.live.ring_transitions = 64.try_into().expect("not zero");
            config.live.client_lag_max = 64.try_into().expect("not zero");
        })
        .await,
    );
    let mut client = service.live("").await;
    let mut cursor = client.expect("snapshot").await["cursor"].as_str().expect("text").to_owned();
    let stop = Arc::new(AtomicBool::new(false));
    let judge = {
        let (service, stop) = (Arc::clone(&service), Arc::clone(&stop));
        std::thread::spawn(move || {
            for n in 0..N {
                service.happen(&firing(n));
                if n % 8 == 0 && !stop.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
            }
        })
    };
    let mut n_heard = 0;
    let mut n_visits = 0;
    within("everything", async {
        while n_heard < N {
            // Leaves after 1, 8, 15 … transitions, or is thrown out when it is too slow.
            let leave_after = n_heard + 1 + n_visits * 7 % 200;
            n_visits += 1;
            while n_heard < N.min(leave_after) {
                let Ok(frame) = client.next().await else { break };
                if frame["type"] == "snapshot" {
                    assert_eq!(frame["resumed"], true, "{frame}");
                    continue;
                }
                assert_eq!(position(&frame), START.0 + n_heard);
                n_heard += 1;
                frame["cursor"].as_str().expect("text").clone_into(&mut cursor);
            }
            client = service.live(&format!("?cursor={cursor}")).await;
        }
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    judge.join().expect("no panic");
}
