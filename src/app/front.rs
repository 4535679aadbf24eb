//! What others connect to: listeners, bridges, HTTP; and what follows files and devices beside them.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use bellwire_api::ports::{PeopleStore, Ports, Provider};
use bellwire_api::{Api, Hub, Intake};
use bellwire_broker::bridge::BridgeHandle;
use bellwire_broker::{Broker, BrokerHandle, SharedSessions, Transport};
use bellwire_ingest::topics::SharedClaims;
use bellwire_notify::Handle;
use bellwire_store::Database;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::access::Door;
use super::bridges::Bridges;
use super::certificates::Certificates;
use super::compaction::Compaction;
use super::endpoints::Endpoints;
use super::handling::HandlingPort;
use super::health::ServiceHealth;
use super::history::Kept;
use super::inlet::LogInlet;
use super::mappings::MappingsFile;
use super::notify::{ChannelPort, Sending};
use super::oidc::Oidc;
use super::people::PeopleFiles;
use super::present::Now;
use super::registry::DeviceBook;
use super::reload::{Reloading, Reloads, Watching, What};
use super::rulebook::Rulebook;
use super::rules_file::RulesFile;
use super::spine::Spine;
use super::web::Web;
use super::{
    Common, Running, audit, backtests, commands, presence, rebirth, refused, replay, telemetry, web,
};
use crate::rulebook::effective::FileRules;

/// What others connect to, and what changes the rules.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) endpoints: Endpoints,
    pub(super) broker: Running,
    pub(super) credentials: Option<Running>,
    pub(super) api: Running,
    pub(super) intake: Intake,
    pub(super) watching: Watching,
    pub(super) reloading: Reloading,
    pub(super) presence: presence::Following,
    pub(super) refusals: Running,
    pub(super) commands: commands::Bringing,
    pub(super) compaction: Compaction,
    pub(super) bridges: Bridges,
    pub(super) sending: Sending,
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
    let reloads = Reloads::register(&common.registry)?;
    let (rules, mappings) = followed(common, spine, (&book, file_rules), (&claims, &reloads));
    let door = Door::open(common, database).await?;
    let refused = refused::Refused::new(spine.names().clone());
    let inlet = Arc::new(LogInlet::new(spine.log(), claims, refused.clone()));
    let (broker, handle, doors, certificates) =
        open_broker(common, Arc::clone(&inlet), sessions, (&door, &reloads)).await?;
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
    let (credentials, asking) = door.follow(common, handle).unzip();
    let sending = Sending::start(common, spine, database)?;
    let ports = (book, telemetry, port);
    let others = (bridges.handles(), sending.handle());
    let web = open_api(common, spine, database, ports, (others, &reloads)).await?;
    let reloading = Reloading {
        rules,
        mappings,
        certificates: [certificates, web.certificates],
        people: web.people,
        credentials: asking,
        reloads,
    };
    // Whoever finds us counts on it.
    let watching = reloading.watch(&common.tracker)?;
    let endpoints = Endpoints {
        http: web.http,
        https: web.https,
        rumqttd: bridges.rumqttd,
        database: database.managed_url(),
        ..doors
    };
    tell(&endpoints, endpoints_file)?;
    let every = common.config.database.compact_interval();
    let compaction = Compaction::start(Arc::clone(database), every, common.failures.clone())?;
    Ok(Front {
        endpoints,
        broker,
        credentials,
        api: web.running,
        intake: web.intake,
        watching,
        reloading,
        presence,
        refusals,
        commands,
        compaction,
        bridges,
        sending,
    })
}

/// The files of rules and mappings, if there are some.
fn followed(
    common: &Common,
    spine: &Spine,
    (book, file_rules): (&Rulebook, FileRules),
    (claims, reloads): (&SharedClaims, &Reloads),
) -> (Option<RulesFile>, Option<MappingsFile>) {
    let rules = common.config.rules.clone();
    let mappings = common.config.mappings.clone();
    (
        rules.map(|path| RulesFile::new(path, file_rules, book.clone(), reloads.clone())),
        mappings.map(|path| MappingsFile::new(path, spine.log(), claims.clone(), reloads.clone())),
    )
}

/// Says where the service can be reached: in the log, and in a file for other commands.
fn tell(endpoints: &Endpoints, file: &Path) -> anyhow::Result<()> {
    std::fs::write(file, serde_json::to_vec_pretty(endpoints)?)
        .with_context(|| format!("cannot write {}", file.display()))?;
    let secure = endpoints.https.map(|https| format!(", https://{https}/")).unwrap_or_default();
    let (mqtt, http) = (endpoints.mqtt_urls().join(", "), endpoints.http);
    info!("Ready: MQTT on {mqtt}, HTTP on http://{http}/{secure}.");
    Ok(())
}

/// Opens the MQTT listeners; gives where they are, and their certificates.
async fn open_broker(
    common: &Common,
    inlet: Arc<LogInlet>,
    sessions: &SharedSessions,
    (door, reloads): (&Door, &Reloads),
) -> anyhow::Result<(Running, BrokerHandle, Endpoints, Option<Certificates>)> {
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
    let certificates =
        broker.tls().map(|tls| Certificates::new(What::MqttCertificates, tls, reloads.clone()));
    let handle = broker.handle();
    let token = CancellationToken::new();
    let task = common.tracker.spawn(broker.run(token.clone()));
    Ok(((token, task), handle, endpoints, certificates))
}

/// Who may come in; everybody with `--insecure`.
fn people(common: &Common) -> anyhow::Result<Option<Arc<dyn PeopleStore>>> {
    let files = PeopleFiles::in_dir(&common.data_dir);
    if common.config.insecure {
        // One that an earlier start has left is none of this one's.
        files.show_local_token(None)?;
        return Ok(None);
    }
    Ok(Some(Arc::new(files)))
}

/// Who people may sign in by, beside us.
fn provider(common: &Common) -> anyhow::Result<Option<Arc<dyn Provider>>> {
    let oidc = Oidc::open(&common.config.http.oidc, Arc::clone(&common.clock))?;
    Ok(oidc.map(|oidc| Arc::new(oidc) as _))
}

async fn open_api(
    common: &Common,
    spine: &Spine,
    database: &Arc<Database>,
    (book, telemetry, commands): (Rulebook, telemetry::HttpInlet, commands::CommandPort),
    ((bridges, channels), reloads): ((Arc<[BridgeHandle]>, Option<Handle>), &Reloads),
) -> anyhow::Result<Web> {
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
    let (log, state) = (spine.log(), spine.database_state());
    let health = ServiceHealth { log, database: state, bridges, channels: channels.clone() };
    let tracker = common.tracker.clone();
    let devices = DeviceBook::new(Arc::clone(&now), spine.log(), spine.judged(), tracker.clone());
    let handling = HandlingPort::new(
        spine.log(),
        spine.judged(),
        (spine.board(), spine.hub()),
        tracker.clone(),
    );
    let known = (spine.rules(), spine.registry().clone());
    let (log, remembered) = (spine.log(), spine.audit().clone());
    let audit_log = audit::AuditBook { log, remembered, queries: database.queries()? };
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
        handling: Arc::new(handling),
        registry: Arc::new(devices),
        channels: Arc::new(ChannelPort(channels)),
        people: people(common)?,
        audit: Arc::new(audit_log),
        provider: provider(common)?,
        witness: common.tracer.clone().map(|tracer| Arc::new(tracer) as _),
    };
    let hub: Arc<Hub> = spine.hub();
    let mut config = common.config.http.clone();
    if common.config.insecure {
        config = config.without_limits_per_client();
    }
    let api = Api::bind(
        config,
        ports,
        hub,
        common.registry.clone(),
        Arc::clone(&common.clock),
        common.tracker.clone(),
    )
    .await?;
    web::open(common, api, reloads).await
}
