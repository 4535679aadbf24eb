//! What there is for somebody: the devices of their scope, as labels are at the moment.
//!
//! What is outside looks as if it were not there.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use bellwire_model::{Alert, DeviceId, Target};
use hashbrown::HashMap;

use super::who::{Scope, Who};
use crate::app::App;
use crate::ports::{Chooser, DeviceRegistry, Nobody};

/// The most scopes that are kept ready; beyond, all are made anew when they are asked for.
const READY_MAX: usize = 256;

/// What there is for somebody: everything by default. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Within {
    scope: Scope,
    /// All must choose a device; none if it is everything.
    choosers: Arc<[Arc<dyn Chooser>]>,
}

impl Within {
    /// What there is in a scope. Of one that cannot be read there is nothing.
    fn of(registry: &dyn DeviceRegistry, scope: &Scope) -> Self {
        let chooser = |part: &Arc<str>| {
            registry.chooser(part).unwrap_or_else(|_| Arc::new(Nobody) as Arc<dyn Chooser>)
        };
        Self { scope: scope.clone(), choosers: scope.parts().iter().map(chooser).collect() }
    }

    /// Whether it is everything.
    pub(crate) fn is_everything(&self) -> bool {
        self.choosers.is_empty()
    }

    /// Whether there is this device.
    pub(crate) fn has(&self, device: &DeviceId) -> bool {
        self.choosers.iter().all(|chooser| chooser.chooses(device))
    }

    /// Whether there is this device or group.
    pub(crate) fn has_target(&self, target: &Target) -> bool {
        if self.is_everything() {
            return true;
        }
        if !target.is_group() {
            return DeviceId::new(target.as_str()).is_ok_and(|device| self.has(&device));
        }
        let Some(labels) = target.labels() else { return false };
        let labels = labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        self.choosers.iter().all(|chooser| chooser.chooses_group(&labels))
    }

    /// Whether there is this alert.
    pub(crate) fn has_alert(&self, alert: &Alert) -> bool {
        self.has_target(&alert.device)
    }

    /// The selection of what there is here and what `select` chooses, which can be read alone.
    pub(crate) fn and(&self, select: Option<&str>) -> Option<String> {
        let own = self.scope.parts().iter().map(|part| &**part);
        Scope::of(own.chain(select)).text()
    }
}

/// What there is in the same scope is the same.
impl PartialEq for Within {
    fn eq(&self, other: &Self) -> bool {
        self.scope == other.scope
    }
}

impl Eq for Within {}

impl FromRequestParts<Arc<App>> for Within {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        let Ok(who) = Who::from_request_parts(parts, app).await;
        Ok(app.scopes.ready(&*app.ports.registry, &who.scope))
    }
}

/// Scopes that were asked for, ready to be asked again.
#[derive(Debug, Default)]
pub(crate) struct Scopes(Mutex<HashMap<Scope, Within>>);

impl Scopes {
    /// What there is in a scope.
    pub(crate) fn ready(&self, registry: &dyn DeviceRegistry, scope: &Scope) -> Within {
        let mut ready = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = ready.get(scope) {
            return known.clone();
        }
        if ready.len() >= READY_MAX {
            ready.clear();
        }
        let made = Within::of(registry, scope);
        ready.insert(scope.clone(), made.clone());
        made
    }
}

#[cfg(test)]
mod tests {
    use bellwire_model::DevicePatch;

    use super::*;
    use crate::ports::{DeviceFilter, DeviceInfo, RegistryFuture, Seen, SelectionError};

    /// Chooses devices whose name begins so, and groups that have such a label.
    #[derive(Debug)]
    struct Begins(String);

    impl Chooser for Begins {
        fn chooses(&self, device: &DeviceId) -> bool {
            device.as_str().starts_with(&self.0)
        }

        fn chooses_group(&self, labels: &bellwire_model::Labels) -> bool {
            labels.get(&self.0).is_some()
        }
    }

    #[derive(Debug)]
    struct Registry;

    impl DeviceRegistry for Registry {
        fn find(
            &self,
            _: &DeviceFilter,
            _: Option<&DeviceId>,
            _: usize,
        ) -> Result<Vec<DeviceInfo>, SelectionError> {
            Ok(Vec::new())
        }

        fn chooser(&self, select: &str) -> Result<Arc<dyn Chooser>, SelectionError> {
            match select {
                "wrong" => Err(SelectionError { column: 1, message: "no".to_owned() }),
                begins => Ok(Arc::new(Begins(begins.to_owned()))),
            }
        }

        fn change(&self, _: Vec<(DeviceId, DevicePatch)>, _: Seen) -> RegistryFuture<'_> {
            Box::pin(std::future::ready(Ok(Vec::new())))
        }
    }

    #[test]
    fn all_parts_of_a_scope_must_choose() {
        let scopes = Scopes::default();
        let has = |parts: &[&str], target: &str| {
            let within = scopes.ready(&Registry, &Scope::of(parts.iter().copied()));
            within.has_target(&Target::new(target).unwrap())
        };
        assert!(has(&[], "a-1") && has(&[], "{site=\"x\"}") && has(&[], "{cut"));
        assert!(has(&["a"], "a-1") && !has(&["b"], "a-1") && !has(&["a", "b"], "a-1"));
        assert!(has(&["site"], "{site=\"x\"}") && !has(&["kind"], "{site=\"x\"}"));
        assert!(!has(&["site"], "{site=\"x}"), "who is meant cannot be read");
        assert!(!has(&["wrong"], "a-1") && !has(&["a", "wrong"], "a-1"));
    }

    #[test]
    fn a_selection_is_within_the_scope() {
        let within = |parts: &[&str]| Within::of(&Registry, &Scope::of(parts.iter().copied()));
        assert_eq!(within(&[]).and(None), None);
        assert_eq!(within(&[]).and(Some("a")).as_deref(), Some("a"));
        assert_eq!(within(&["s"]).and(None).as_deref(), Some("s"));
        assert_eq!(within(&["s"]).and(Some("a or b")).as_deref(), Some("(s) and (a or b)"));
    }
}
