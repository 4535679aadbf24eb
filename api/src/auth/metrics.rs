//! What is counted of who comes in.

use prometheus::{Error, IntCounter, IntCounterVec, Opts, Registry};

use super::layer::Refusal;

/// How a try to sign in ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignIn {
    /// They are in.
    Done,
    /// Name or password, or what the provider said, are wrong.
    Wrong,
    /// They tried too often.
    Throttled,
    /// It could not be found out.
    Failed,
}

impl SignIn {
    const ALL: [Self; 4] = [Self::Done, Self::Wrong, Self::Throttled, Self::Failed];

    const fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Wrong => "wrong",
            Self::Throttled => "throttled",
            Self::Failed => "failed",
        }
    }
}

const REFUSALS: [&str; 4] = ["unauthenticated", "setup_needed", "forbidden", "csrf"];

/// What is counted of who comes in.
#[derive(Debug)]
pub(crate) struct AuthMetrics {
    sign_ins: [IntCounter; SignIn::ALL.len()],
    refusals: [IntCounter; REFUSALS.len()],
}

impl AuthMetrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, Error> {
        let sign_ins = IntCounterVec::new(
            Opts::new("bellwire_sign_ins_total", "Tries to sign in, and how they ended."),
            &["outcome"],
        )?;
        let refusals = IntCounterVec::new(
            Opts::new("bellwire_http_refusals_total", "Requests that were not allowed, and why."),
            &["reason"],
        )?;
        registry.register(Box::new(sign_ins.clone()))?;
        registry.register(Box::new(refusals.clone()))?;
        Ok(Self {
            sign_ins: SignIn::ALL.map(|it| sign_ins.with_label_values(&[it.label()])),
            refusals: REFUSALS.map(|reason| refusals.with_label_values(&[reason])),
        })
    }

    pub(crate) fn tried(&self, outcome: SignIn) {
        self.sign_ins[outcome as usize].inc();
    }

    pub(crate) fn refused(&self, refusal: &Refusal) {
        let index = REFUSALS.iter().position(|reason| *reason == refusal.code());
        if let Some(counter) = index.and_then(|index| self.refusals.get(index)) {
            counter.inc();
        }
    }
}
