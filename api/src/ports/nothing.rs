//! No service behind the API: for what tests or measures the API alone.

use std::sync::Arc;

use bellwire_model::{
    Alert, AlertId, DeviceId, DeviceLedger, MetricName, Quarantined, RuleName, Transition,
};

use super::{
    AlertHistory, AlertsQuery, BacktestError, BacktestFuture, BacktestRequest, Backtests,
    BucketRow, BucketsQuery, ChangedBy, ChangedRule, DeviceInfo, Health, HealthStatus, History,
    Known, LatestReading, LatestReadings, MappingMistake, MappingTrial, NewRule, NoChannels,
    NoCommands, Page, Place, PortError, PortFuture, Ports, Posts, Present, QuarantineQuery,
    Readiness, ReadingRow, ReadingsQuery, ReplayMode, RuleCheck, RuleDeed, RuleDetail, RuleInfo,
    RuleTests, RuleTestsOutcome, RuleTrial, RuleVersion, RuleWords, Rules, RulesError, RulesFuture,
    Shelf, ShelfError, ShelfFuture, Telemetry, TelemetryError, TelemetryFuture, TriedMapping,
};

impl Ports {
    /// Ports behind which nothing is: nothing is known, the database is away, nothing is taken.
    #[must_use]
    pub fn nothing() -> Self {
        let nothing = Arc::new(Nothing);
        Self {
            present: Arc::clone(&nothing) as _,
            history: Arc::clone(&nothing) as _,
            health: Arc::clone(&nothing) as _,
            backtests: Arc::clone(&nothing) as _,
            rules: Arc::clone(&nothing) as _,
            telemetry: Arc::clone(&nothing) as _,
            shelf: nothing,
            commands: Arc::new(NoCommands),
            handling: Arc::new(()),
            registry: Arc::new(()),
            channels: Arc::new(NoChannels),
            people: None,
            audit: Arc::new(()),
            provider: None,
            witness: None,
        }
    }
}

/// Knows nothing.
#[derive(Debug)]
struct Nothing;

impl Backtests for Nothing {
    fn begin(&self, _: BacktestRequest) -> BacktestFuture<'_> {
        Box::pin(std::future::ready(Err(BacktestError::Busy)))
    }
}

impl Rules for Nothing {
    fn list(&self) -> Vec<RuleInfo> {
        Vec::new()
    }

    fn rule(&self, _: &RuleName) -> Option<RuleDetail> {
        None
    }

    fn versions(&self, _: &RuleName) -> Option<Vec<RuleVersion>> {
        None
    }

    fn words(&self) -> RuleWords {
        RuleWords::default()
    }

    fn create(&self, _: NewRule, _: ChangedBy) -> RulesFuture<'_, RuleDetail> {
        Box::pin(std::future::ready(Err(RulesError::Waiting)))
    }

    fn change(
        &self,
        _: RuleName,
        _: RuleDeed,
        _: Known,
        _: ChangedBy,
    ) -> RulesFuture<'_, ChangedRule> {
        Box::pin(std::future::ready(Err(RulesError::Waiting)))
    }

    fn check(&self, _: RuleTrial) -> RulesFuture<'_, RuleCheck> {
        Box::pin(std::future::ready(Err(RulesError::Waiting)))
    }

    fn test(&self, _: RuleTests) -> RulesFuture<'_, RuleTestsOutcome> {
        Box::pin(std::future::ready(Err(RulesError::Waiting)))
    }
}

impl Present for Nothing {
    fn device(&self, _: &DeviceId) -> Option<DeviceInfo> {
        None
    }

    fn latest(&self, _: &DeviceId) -> Option<Vec<LatestReading>> {
        None
    }

    fn latest_of_all(
        &self,
        _: Option<&MetricName>,
        _: Option<&DeviceId>,
        _: usize,
    ) -> LatestReadings {
        LatestReadings::default()
    }
}

fn away<T: Send + 'static>() -> PortFuture<'static, T> {
    Box::pin(async { Err(PortError::DatabaseAway) })
}

impl History for Nothing {
    fn readings(&self, _: ReadingsQuery) -> PortFuture<'_, Page<ReadingRow>> {
        away()
    }

    fn buckets(&self, _: BucketsQuery) -> PortFuture<'_, Page<BucketRow>> {
        away()
    }

    fn alerts(&self, _: AlertsQuery) -> PortFuture<'_, Page<Alert>> {
        away()
    }

    fn alert(&self, _: AlertId) -> PortFuture<'_, Option<AlertHistory>> {
        away()
    }

    fn transitions(&self, _: Place, _: usize) -> PortFuture<'_, Vec<Transition>> {
        away()
    }

    fn quarantine(&self, _: QuarantineQuery) -> PortFuture<'_, Page<Quarantined>> {
        away()
    }

    fn ledger(&self, _: DeviceId) -> PortFuture<'_, Option<DeviceLedger>> {
        away()
    }

    fn ledgers(
        &self,
        _: Option<DeviceId>,
        _: usize,
    ) -> PortFuture<'_, Vec<(DeviceId, DeviceLedger)>> {
        away()
    }
}

impl Health for Nothing {
    fn readiness(&self) -> Readiness {
        Readiness { status: HealthStatus::Degraded, checks: Vec::new(), database: None }
    }
}

impl Shelf for Nothing {
    fn replay(&self, _: QuarantineQuery, _: ReplayMode) -> ShelfFuture<'_> {
        Box::pin(std::future::ready(Err(ShelfError::Later)))
    }

    fn try_mapping(&self, _: &MappingTrial) -> Result<TriedMapping, Vec<MappingMistake>> {
        Ok(TriedMapping::default())
    }
}

impl Telemetry for Nothing {
    fn take(&self, _: Posts) -> TelemetryFuture<'_> {
        Box::pin(std::future::ready(Err(TelemetryError::Later)))
    }
}
