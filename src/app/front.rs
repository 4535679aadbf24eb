//! What others connect to: listeners, bridges, HTTP; and what follows files and devices beside them.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use bellwire_api::ports::Ports;
use bellwire_api::{Api, Hub};
use bellwire_broker::bridge::BridgeHandle;
use bellwire_broker::{Broker, BrokerHandle, SharedSessions, Transport};
use bellwire_ingest::topics::SharedClaims;
use bellwire_store::Database;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::access::Door;
use super::bridges::Bridges;
use super::compaction::Compaction;
use super::endpoints::Endpoints;
use super::health::ServiceHealth;
use super::history::Kept;
use super::inlet::LogInlet;
use super::present::Now;
use super::registry::DeviceBook;
use super::rulebook::Rulebook;
use super::spine::Spine;
use super::{
    Common, Running, backtests, certificates, commands, file_watch, mappings, presence, rebirth,
    refused, replay, rules_file, telemetry,
};
use crate::rulebook::effective::FileRules;

/// What others connect to, and what changes the rules.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) endpoints: Endpoints,
    pub(super) broker: Running,
    pub(super) credentials: Option<Running>,
    pub(super) api: Running,
    pub(super) files: [Option<file_watch::Watching>; 2],
    pub(super) certificates: Option<certificates::Watching>,
    pub(super) presence: presence::Following,
    pub(super) refusals: Running,
    pub(super) commands: commands::Bringing,
    pub(super) compaction: Compaction,
    pub(super) bridges: Bridges,
}

/// Opens everything that others connect to.
///
/// # Errors
/// The first thing that cannot be opened.
pub(super) async fn open(
    common: &Common,
    spine: &Spine,
    (sessions, claims, asked): (&SharedSessions, SharedClaims, rebirth::Asked),
    database: &Arc<Database>,
    (book, file_rules): (Rulebook, FileRules),
    endpoints_file: &Path,
) -> anyhow::Result<Front> {
    let rules_file = match &common.config.rules {
        Some(path) => Some(rules_file::watch(path, file_rules, book.clone(), &common.tracker)?),
        None => None,
    };
    let mappings_file = match &common.config.mappings {
        Some(path) => Some(mappings::watch(path, spine.log(), claims.clone(), &common.tracker)?),
        None => None,
    };
    let door = Door::open(common, database).await?;
    let refused = refused::Refused::new(spine.names().clone());
    let inlet = Arc::new(LogInlet::new(spine.log(), claims, refused.clone()));
    let (broker, handle, doors, certificates) =
        open_broker(common, Arc::clone(&inlet), sessions, &door).await?;
    let bridges = Bridges::start(common, inlet, handle.clone(), spine.log().id()).await?;
    let parts = presence::Parts {
        presences: handle.presences(),
        present: spine.present().clone(),
        names: spine.names().clone(),
        log: spine.log(),
    };
    let presence = presence::follow(parts, &common.tracker);
    let refusals = refused::follow(refused, spine.log(), &common.tracker);
    let telemetry = telemetry::HttpInlet::new(spine.log(), handle.clone());
    let waking = (&common.tracker, &common.registry);
    let outward = (handle.clone(), bridges.handles());
    rebirth::follow(asked, outward, Arc::clone(&common.clock), waking)?;
    let parts = commands::Parts {
        commands: spine.commands().commands().clone(),
        log: spine.log(),
        broker: handle.clone(),
        clock: Arc::clone(&common.clock),
        judged: spine.judged(),
        queries: database.queries()?,
    };
    let (port, commands) = commands::begin(parts, spine.commands().clone(), &common.tracker);
    let credentials = door.follow(common, handle);
    let ports = (book, telemetry, port);
    let (api, http) = open_api(common, spine, database, ports, bridges.handles()).await?;
    let endpoints =
        Endpoints { http, rumqttd: bridges.rumqttd, database: database.managed_url(), ..doors };
    std::fs::write(endpoints_file, serde_json::to_vec_pretty(&endpoints)?)
        .with_context(|| format!("cannot write {}", endpoints_file.display()))?;
    info!("Ready: MQTT on {}, HTTP on http://{http}/.", endpoints.mqtt_urls().join(", "));
    let every = common.config.database.compact_interval();
    let compaction = Compaction::start(Arc::clone(database), every, common.failures.clone())?;
    Ok(Front {
        endpoints,
        broker,
        credentials,
        api,
        files: [rules_file, mappings_file],
        certificates,
        presence,
        refusals,
        commands,
        compaction,
        bridges,
    })
}

/// Opens the MQTT listeners; gives where they are, and the watch on their certificates.
async fn open_broker(
    common: &Common,
    inlet: Arc<LogInlet>,
    sessions: &SharedSessions,
    door: &Door,
) -> anyhow::Result<(Running, BrokerHandle, Endpoints, Option<certificates::Watching>)> {
    let mut config = common.config.mqtt.clone();
    if common.config.insecure {
        config = config.without_limits_per_client();
    }
    let broker = Broker::bind(
        config,
        sessions,
        inlet,
        door.gatekeeper(),
        Arc::clone(&common.clock),
        common.tracker.clone(),
    )
    .await?;
    let endpoints = Endpoints {
        mqtt: broker.addresses(Transport::Tcp),
        mqtts: broker.addresses(Transport::Tls),
        mqtt_ws: broker.addresses(Transport::WebSocket),
        mqtt_wss: broker.addresses(Transport::WebSocketTls),
        ..Endpoints::nowhere()
    };
    let watch = |tls| certificates::watch(tls, &common.tracker);
    let certificates = broker.tls().map(watch).transpose()?;
    let handle = broker.handle();
    let token = CancellationToken::new();
    let task = common.tracker.spawn(broker.run(token.clone()));
    Ok(((token, task), handle, endpoints, certificates))
}

async fn open_api(
    common: &Common,
    spine: &Spine,
    database: &Arc<Database>,
    (book, telemetry, commands): (Rulebook, telemetry::HttpInlet, commands::CommandPort),
    bridges: Arc<[BridgeHandle]>,
) -> anyhow::Result<(Running, SocketAddr)> {
    let kept = Kept {
        log: spine.log().id(),
        queries: database.queries()?,
        journal: spine.journal(),
        ledger: spine.ledger().clone(),
        names: spine.names().clone(),
        rules: spine.rules(),
        registry: spine.registry().clone(),
    };
    let now = Now {
        present: spine.present().clone(),
        names: spine.names().clone(),
        rules: spine.rules(),
        registry: spine.registry().clone(),
        clock: Arc::clone(&common.clock),
    };
    let now = Arc::new(now);
    let health = ServiceHealth { log: spine.log(), database: spine.database_state(), bridges };
    let tracker = common.tracker.clone();
    let devices = DeviceBook::new(Arc::clone(&now), spine.log(), spine.judged(), tracker.clone());
    let known = (spine.rules(), spine.registry().clone());
    let backtests = backtests::StoredHistory::new(Arc::clone(database), known, tracker);
    let ports = Ports {
        present: now,
        history: Arc::new(kept),
        health: Arc::new(health),
        backtests: Arc::new(backtests),
        rules: Arc::new(book),
        telemetry: Arc::new(telemetry),
        shelf: Arc::new(replay::Replayer::new(database.queries()?, spine.log(), spine.terms())),
        commands: Arc::new(commands),
        registry: Arc::new(devices),
    };
    let hub: Arc<Hub> = spine.hub();
    let api = Api::bind(
        common.config.http.clone(),
        ports,
        hub,
        common.registry.clone(),
        Arc::clone(&common.clock),
        common.tracker.clone(),
    )
    .await?;
    let address = api.local_addr();
    let token = CancellationToken::new();
    let task = common.tracker.spawn(api.run(token.clone()));
    Ok(((token, task), address))
}
