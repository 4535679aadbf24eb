//! From the configuration to what sending goes by: the plan, and a sender for each receiver.

use std::sync::Arc;
use std::time::Duration;

use bellwire_model::Matchers;

use crate::channels::Sender;
use crate::config::{ChannelConfig, ChannelType, RouteConfig};
use crate::dispatch::{GoesOn, GroupBy, Plan, ReceiverPlan, RoutePlan, Style};

/// A receiver: an address of a channel.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) channel: Arc<str>,
    /// Which of the channel's addresses.
    pub(crate) address: usize,
    pub(crate) kind: ChannelType,
    pub(crate) sender: Arc<Sender>,
}

/// The plan, and its receivers in the same order.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) plan: Arc<Plan>,
    pub(crate) receivers: Vec<Receiver>,
}

impl Setup {
    /// # Errors
    /// The first key that cannot work, and why.
    pub(crate) fn new(channels: &[ChannelConfig], routes: &[RouteConfig]) -> Result<Self, String> {
        let (mut receivers, mut plans) = (Vec::new(), Vec::new());
        for (index, config) in channels.iter().enumerate() {
            let wrong = |error: String| format!("channel[{index}].{error}");
            let kind = config.kind.ok_or_else(|| wrong("type must be set".to_owned()))?;
            let channel: Arc<str> = config.name.as_str().into();
            for address in 0..config.urls.len().max(1) {
                let sender = Arc::new(Sender::new(config, address).map_err(wrong)?);
                plans.push(receiver_plan(config, kind, address));
                let channel = Arc::clone(&channel);
                receivers.push(Receiver { channel, address, kind, sender });
            }
        }
        let of_channel = |name: &str| {
            let all = receivers.iter().enumerate();
            all.filter(|(_, it)| *it.channel == *name).map(|(index, _)| index).collect::<Vec<_>>()
        };
        // Without routes everybody is told everything.
        let all = RouteConfig {
            channels: channels.iter().map(|channel| channel.name.clone()).collect(),
            ..RouteConfig::default()
        };
        let routes = if routes.is_empty() { std::slice::from_ref(&all) } else { routes };
        let routes: Result<Vec<_>, _> = routes
            .iter()
            .enumerate()
            .map(|(index, route)| {
                let receivers = route.channels.iter().flat_map(|name| of_channel(name)).collect();
                let n_before = routes[..index].iter().filter(|it| key(it) == key(route)).count();
                route_plan(route, receivers, n_before)
                    .map_err(|error| format!("route[{index}].{error}"))
            })
            .collect();
        let plan = Plan { routes: routes?, receivers: plans };
        Ok(Self { plan: Arc::new(plan), receivers })
    }
}

fn receiver_plan(config: &ChannelConfig, kind: ChannelType, address: usize) -> ReceiverPlan {
    let is_mirror = kind == ChannelType::Alertmanager;
    ReceiverPlan {
        key: format!("{}/{}/{address}", config.name, kind.label()).into(),
        style: if is_mirror { Style::Mirrored } else { Style::Grouped },
        alerts_max: usize::from(config.alerts_max).max(1),
    }
}

/// What a route is remembered by; its channels and times may change.
fn key(route: &RouteConfig) -> (&str, u8, &[String]) {
    (&route.alerts, route.escalation, &route.group_by)
}

/// `n_before`: how many before it have the same key.
fn route_plan(
    route: &RouteConfig,
    receivers: Vec<usize>,
    n_before: usize,
) -> Result<RoutePlan, String> {
    let matchers = Matchers::parse(&route.alerts).map_err(|error| format!("alerts: {error}"))?;
    let group_by = if route.group_by.iter().any(|label| label == "...") {
        GroupBy::EachAlert
    } else {
        GroupBy::Labels(route.group_by.iter().map(|label| label.as_str().into()).collect())
    };
    Ok(RoutePlan {
        key: format!("{:?}|{n_before}", key(route)).into(),
        matchers,
        escalation: route.escalation,
        receivers,
        group_by,
        group_wait: Duration::from_secs(route.group_wait_s),
        group_interval: Duration::from_secs(route.group_interval_s),
        repeat_interval: Duration::from_secs(route.repeat_interval_s),
        goes_on: if route.r#continue { GoesOn::Yes } else { GoesOn::No },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str, kind: ChannelType, n_urls: usize) -> ChannelConfig {
        ChannelConfig {
            name: name.to_owned(),
            kind: Some(kind),
            urls: (0..n_urls).map(|n| format!("http://127.0.0.1:{}", 9_000 + n)).collect(),
            url: (n_urls == 0).then(|| "http://127.0.0.1:8000".to_owned()),
            ..ChannelConfig::default()
        }
    }

    #[test]
    fn each_address_is_a_receiver_and_equal_routes_are_two() {
        let channels =
            [channel("ops", ChannelType::Webhook, 0), channel("am", ChannelType::Alertmanager, 2)];
        let route = RouteConfig { channels: vec!["am".to_owned()], ..RouteConfig::default() };
        let setup = Setup::new(&channels, &[route.clone(), route]).unwrap();
        let keys: Vec<&str> = setup.plan.receivers.iter().map(|it| &*it.key).collect();
        assert_eq!(keys, ["ops/webhook/0", "am/alertmanager/0", "am/alertmanager/1"]);
        let [first, second] = &*setup.plan.routes else { panic!("{:?}", setup.plan) };
        assert_eq!(first.receivers, [1, 2]);
        assert_ne!(first.key, second.key);
    }

    #[test]
    fn without_a_route_everybody_is_told_everything() {
        let setup = Setup::new(&[channel("ops", ChannelType::Webhook, 0)], &[]).unwrap();
        assert_eq!(setup.plan.routes[0].receivers, [0]);
        assert!(setup.plan.routes[0].matchers.is_empty());
    }
}
