//! Sees what hostile clients do to others: clients in good health, the log, the memory.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use bellwire_broker::Config;
use bellwire_broker::access::{Gatekeeper, OpenDoor};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

use crate::memory::{live_bytes, peak_bytes, reset_peak};
use crate::support::{RawClient, Service, packet, publish, subscribe, text, wait_until};

/// What the broker has logged since.
#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// A broker with clients that do nothing wrong, and a witness to what they get. The tests' runtime
/// has one thread, so memory and log are counted on that one.
pub(crate) struct Scene {
    pub(crate) service: Service,
    device: RawClient,
    watcher: RawClient,
    n_served: u16,
    lines: Lines,
    _log: DefaultGuard,
    before_bytes: usize,
}

impl Scene {
    pub(crate) async fn open(config: Config) -> Self {
        Self::open_guarded(config, Arc::new(OpenDoor)).await
    }

    pub(crate) async fn open_guarded(config: Config, gatekeeper: Arc<dyn Gatekeeper>) -> Self {
        let lines = Lines::default();
        let subscriber =
            tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).finish();
        let log = tracing::subscriber::set_default(subscriber);
        let mut service = Service::start_guarded(config, 1000, gatekeeper).await;
        service.settle_all();
        let device = RawClient::v3(service.address, "good-device").await;
        let mut watcher = RawClient::v3(service.address, "good-watcher").await;
        watcher.send(&subscribe("news", 1)).await;
        watcher.expect(&[0x90, 3, 0, 1, 1]).await;
        let mut scene =
            Self { service, device, watcher, n_served: 0, lines, _log: log, before_bytes: 0 };
        scene.others_are_served().await;
        reset_peak();
        scene.before_bytes = live_bytes();
        scene
    }

    /// A device's publish is kept and acknowledged, and a message goes from one to the other.
    pub(crate) async fn others_are_served(&mut self) {
        self.n_served += 1;
        let id = self.n_served;
        let [high, low] = id.to_be_bytes();
        self.device.send(&publish("devices/good/telemetry", b"{}", id)).await;
        self.device.expect(&[0x40, 2, high, low]).await;
        self.device.send(&publish("news", b"good", 0)).await;
        self.watcher.expect(&publish("news", b"good", 0)).await;
    }

    /// The log has a line with all of these words.
    pub(crate) async fn log_says(&self, words: &[&str]) {
        wait_until(|| {
            let log = String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap();
            log.lines().any(|line| words.iter().all(|word| line.contains(word)))
        })
        .await;
    }

    /// How often a connection was closed for this reason.
    pub(crate) fn n_closed(&self, reason: &str) -> usize {
        self.service.metric("bellwire_mqtt_connections_closed_total", Some(reason)) as usize
    }

    /// Once only the others are left: at no time was more than `peak_max` taken, and next to
    /// nothing of it is left.
    pub(crate) async fn memory_is_bounded(&mut self, peak_max: usize) {
        const LEFT_BYTES_MAX: usize = 256 * 1024;
        wait_until(|| self.service.handle.connections() == 2).await;
        self.others_are_served().await;
        // What the log is made of is ours, not the broker's.
        let log_bytes = 2 * self.lines.0.lock().unwrap().capacity();
        let peak = peak_bytes().saturating_sub(self.before_bytes + log_bytes);
        assert!(peak <= peak_max, "{peak} bytes, at most {peak_max}");
        let left = live_bytes().saturating_sub(self.before_bytes + log_bytes);
        assert!(left <= LEFT_BYTES_MAX, "{left} bytes are left");
    }

    pub(crate) async fn close(self) {
        self.service.stop((self.device, self.watcher)).await;
    }
}

/// A SUBSCRIBE of MQTT 5 with packet identifier 1.
pub(crate) fn subscribe_v5(filter: &str, options: u8) -> Vec<u8> {
    packet(0x82, &[&[0, 1, 0][..], &text(filter), &[options]].concat())
}

/// A PUBLISH of MQTT 5 with these properties; packet identifier 0 means QoS 0.
pub(crate) fn publish_v5(topic: &str, properties: &[u8], payload: &[u8], id: u16) -> Vec<u8> {
    let mut body = text(topic);
    if id != 0 {
        body.extend(id.to_be_bytes());
    }
    body.push(properties.len() as u8);
    body.extend(properties);
    body.extend(payload);
    packet(if id == 0 { 0x30 } else { 0x32 }, &body)
}
