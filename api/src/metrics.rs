//! What this room counts about itself.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use hashbrown::HashMap;
use prometheus::{
    Error, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

use crate::auth::metrics::AuthMetrics;
use crate::live::{Frame, Resume};

/// What this room counts about itself. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) http: Arc<Http>,
    pub(crate) live: Arc<Live>,
    pub(crate) auth: Arc<AuthMetrics>,
}

impl Metrics {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    /// If `registry` has one of these names already.
    pub fn register(registry: &Registry) -> Result<Self, Error> {
        Ok(Self {
            http: Arc::new(Http::register(registry)?),
            live: Arc::new(Live::register(registry)?),
            auth: Arc::new(AuthMetrics::register(registry)?),
        })
    }
}

const METHODS: [&str; 3] = ["get", "head", "other"];
const CLASSES: [&str; 4] = ["1xx_3xx", "2xx", "4xx", "5xx"];

/// The label of a request that no route took.
pub(crate) const UNMATCHED: &str = "unmatched";

/// What is counted of HTTP.
#[derive(Debug)]
pub(crate) struct Http {
    routes: HashMap<&'static str, Route>,
    pub(crate) connections: IntGauge,
    pub(crate) connections_failed: IntCounter,
    pub(crate) connections_refused: IntCounter,
    pub(crate) writes_refused: IntCounter,
    pub(crate) handshakes_failed: IntCounter,
    pub(crate) exports_cut: IntCounter,
    pub(crate) too_many: IntCounter,
}

#[derive(Debug)]
struct Route {
    requests: [[IntCounter; CLASSES.len()]; METHODS.len()],
    duration: Histogram,
}

impl Http {
    fn register(registry: &Registry) -> Result<Self, Error> {
        let requests = IntCounterVec::new(
            Opts::new("bellwire_http_requests_total", "HTTP requests answered."),
            &["route", "method", "status"],
        )?;
        let buckets = vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "bellwire_http_request_duration_seconds",
                "Time from a request's head to the head of its answer.",
            )
            .buckets(buckets),
            &["route"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        let routes = crate::routes::TEMPLATES.iter().chain(&[UNMATCHED]).map(|&route| {
            let counters = METHODS.map(|method| {
                CLASSES.map(|class| requests.with_label_values(&[route, method, class]))
            });
            (route, Route { requests: counters, duration: duration.with_label_values(&[route]) })
        });
        let connections = IntGauge::new("bellwire_http_connections", "Open HTTP connections.")?;
        let connections_failed = IntCounter::new(
            "bellwire_http_accept_failures_total",
            "Times that a connection could not be accepted.",
        )?;
        registry.register(Box::new(connections.clone()))?;
        let exports_cut = IntCounter::new(
            "bellwire_http_exports_cut_total",
            "Exports that were cut off because history had no answer for their next page.",
        )?;
        let handshakes_failed = IntCounter::new(
            "bellwire_http_handshakes_failed_total",
            "TLS handshakes that failed, or took too long.",
        )?;
        registry.register(Box::new(handshakes_failed.clone()))?;
        registry.register(Box::new(connections_failed.clone()))?;
        registry.register(Box::new(exports_cut.clone()))?;
        let too_many = IntCounter::new(
            "bellwire_http_rate_limited_total",
            "Requests refused because their client made too many.",
        )?;
        registry.register(Box::new(too_many.clone()))?;
        let connections_refused = IntCounter::new(
            "bellwire_http_connections_refused_total",
            "Connections, and requests through a proxy, refused because their source had too many.",
        )?;
        registry.register(Box::new(connections_refused.clone()))?;
        let writes_refused = IntCounter::new(
            "bellwire_http_writes_refused_total",
            "Requests that change something, refused because too many others did.",
        )?;
        registry.register(Box::new(writes_refused.clone()))?;
        Ok(Self {
            routes: routes.collect(),
            connections,
            connections_failed,
            connections_refused,
            writes_refused,
            handshakes_failed,
            exports_cut,
            too_many,
        })
    }

    /// Counts one answered request.
    pub(crate) fn answered(
        &self,
        route: &str,
        method: &Method,
        status: StatusCode,
        took: Duration,
    ) {
        let route = self.routes.get(route).unwrap_or_else(|| &self.routes[UNMATCHED]);
        let method = match *method {
            Method::GET => 0,
            Method::HEAD => 1,
            _ => 2,
        };
        let class = match status.as_u16() {
            200..=299 => 1,
            400..=499 => 2,
            500..=599 => 3,
            _ => 0,
        };
        route.requests[method][class].inc();
        route.duration.observe(took.as_secs_f64());
    }
}

/// How a live client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    WebSocket,
    Events,
    Poll,
}

impl Transport {
    const ALL: [Self; 3] = [Self::WebSocket, Self::Events, Self::Poll];

    const fn label(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Events => "events",
            Self::Poll => "poll",
        }
    }
}

/// Why a live client was disconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It did not take what we sent.
    Slow,
    /// It gave no sign of life.
    Idle,
    /// It sent too many messages.
    Flood,
    /// It sent what is no WebSocket frame.
    BadFrame,
    /// It sent a text that is none.
    BadText,
    /// It sent a message that is too long.
    TooLong,
    /// The service stops.
    Shutdown,
    /// It left, or the network did.
    Left,
}

impl Ended {
    pub(crate) const ALL: [Self; 8] = [
        Self::Slow,
        Self::Idle,
        Self::Flood,
        Self::BadFrame,
        Self::BadText,
        Self::TooLong,
        Self::Shutdown,
        Self::Left,
    ];

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Idle => "idle",
            Self::Flood => "flood",
            Self::BadFrame => "bad_frame",
            Self::BadText => "bad_text",
            Self::TooLong => "too_long",
            Self::Shutdown => "shutdown",
            Self::Left => "left",
        }
    }
}

/// Fine where objectives are: a few milliseconds.
const LATENCY_BUCKETS: [f64; 23] = [
    0.000_25, 0.000_5, 0.000_75, 0.001, 0.001_25, 0.001_5, 0.002, 0.002_5, 0.003, 0.004, 0.005,
    0.006, 0.007_5, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];

/// What is counted of the live feed.
#[derive(Debug)]
pub(crate) struct Live {
    clients: [IntGauge; 3],
    pub(crate) clients_refused: IntCounter,
    ended: [IntCounter; Ended::ALL.len()],
    transitions_sent: IntCounter,
    gone_sent: IntCounter,
    operators_sent: IntCounter,
    readings_sent: IntCounter,
    pub(crate) snapshots_sent: IntCounter,
    pub(crate) heartbeats_sent: IntCounter,
    resumes: [IntCounter; Resume::ALL.len()],
    pub(crate) readings_conflated: IntCounter,
    pub(crate) backlog: IntGauge,
    pub(crate) latency: Histogram,
    pub(crate) delivery: Histogram,
}

impl Live {
    fn register(registry: &Registry) -> Result<Self, Error> {
        let clients = IntGaugeVec::new(
            Opts::new("bellwire_live_clients", "Clients of the live feed."),
            &["transport"],
        )?;
        let ended = IntCounterVec::new(
            Opts::new("bellwire_live_clients_ended_total", "Live clients that ended, and why."),
            &["reason"],
        )?;
        let frames = IntCounterVec::new(
            Opts::new("bellwire_live_frames_sent_total", "Frames given to live clients."),
            &["type"],
        )?;
        let resumes = IntCounterVec::new(
            Opts::new("bellwire_live_resumes_total", "How live clients came to their snapshot."),
            &["outcome"],
        )?;
        let clients_refused = IntCounter::new(
            "bellwire_live_clients_refused_total",
            "Live clients refused because there were too many.",
        )?;
        let readings_conflated = IntCounter::new(
            "bellwire_live_readings_conflated_total",
            "Readings left out because newer ones overtook them on the way to a slow client.",
        )?;
        let backlog = IntGauge::new(
            "bellwire_live_backlog_transitions",
            "Transitions decided but not yet handed to clients.",
        )?;
        let latency = Histogram::with_opts(
            HistogramOpts::new(
                "bellwire_live_latency_seconds",
                "From receiving a publish to handing its transition to the live clients.",
            )
            .buckets(LATENCY_BUCKETS.to_vec()),
        )?;
        let delivery = Histogram::with_opts(
            HistogramOpts::new(
                "bellwire_live_delivery_seconds",
                "From receiving a publish until a client's socket had taken its transition; of some, \
                 if there are more than 64 clients.",
            )
            .buckets(LATENCY_BUCKETS.to_vec()),
        )?;
        registry.register(Box::new(clients.clone()))?;
        for counters in [&ended, &frames, &resumes] {
            registry.register(Box::new(counters.clone()))?;
        }
        registry.register(Box::new(clients_refused.clone()))?;
        registry.register(Box::new(readings_conflated.clone()))?;
        registry.register(Box::new(backlog.clone()))?;
        registry.register(Box::new(latency.clone()))?;
        registry.register(Box::new(delivery.clone()))?;
        Ok(Self {
            clients: Transport::ALL.map(|it| clients.with_label_values(&[it.label()])),
            clients_refused,
            ended: Ended::ALL.map(|reason| ended.with_label_values(&[reason.label()])),
            transitions_sent: frames.with_label_values(&["transition"]),
            gone_sent: frames.with_label_values(&["gone"]),
            operators_sent: frames.with_label_values(&["operators"]),
            readings_sent: frames.with_label_values(&["reading"]),
            snapshots_sent: frames.with_label_values(&["snapshot"]),
            heartbeats_sent: frames.with_label_values(&["heartbeat"]),
            resumes: Resume::ALL.map(|outcome| resumes.with_label_values(&[outcome.label()])),
            readings_conflated,
            backlog,
            latency,
            delivery,
        })
    }

    pub(crate) fn clients(&self, transport: Transport) -> &IntGauge {
        &self.clients[transport as usize]
    }

    pub(crate) fn ended(&self, reason: Ended) -> &IntCounter {
        &self.ended[reason as usize]
    }

    /// Counts frames that a client was given.
    pub(crate) fn sent(&self, frames: &[Frame]) {
        self.sent_to_many(frames, 1);
    }

    /// The same, for so many clients that were given the same.
    pub(crate) fn sent_to_many(&self, frames: &[Frame], n_clients: u64) {
        let (mut n_transitions, mut n_readings) = (0, 0);
        for frame in frames {
            match frame {
                Frame::Transition(_) => n_transitions += 1,
                Frame::Reading(_) => n_readings += 1,
                Frame::Gone(_) => self.gone_sent.inc_by(n_clients),
                Frame::Operators(_) => self.operators_sent.inc_by(n_clients),
            }
        }
        if n_transitions > 0 {
            self.transitions_sent.inc_by(n_transitions * n_clients);
        }
        if n_readings > 0 {
            self.readings_sent.inc_by(n_readings * n_clients);
        }
    }

    pub(crate) fn resumed(&self, outcome: Resume) -> &IntCounter {
        &self.resumes[outcome as usize]
    }
}

/// Counts a live client for as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted {
    live: Arc<Live>,
    transport: Transport,
}

impl Counted {
    pub(crate) fn new(live: &Arc<Live>, transport: Transport) -> Self {
        live.clients(transport).inc();
        Self { live: Arc::clone(live), transport }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.live.clients(self.transport).dec();
    }
}
