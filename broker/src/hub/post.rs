//! The way of a letter: to those who subscribe to its topic and speak for its device.

use std::sync::Arc;

use bellwire_model::QoS;

use super::Hub;
use crate::letters::{self, Letter, Posted};
use crate::message::{Message, Outgoing, Routed};
use crate::outbox::Outbox;
use crate::session::exchange::SubscribeOptions;

impl Hub {
    /// Leaves a letter with all who are there for it. Shared subscriptions get none: nobody else may
    /// take it for the device.
    pub(crate) fn post(&self, letter: &Letter<'_>) -> Posted {
        let takers = self.takers(letter.topic);
        if takers.is_empty() {
            return Posted::NobodyThere;
        }
        let message = Message::new_letter(
            &Routed {
                topic: letter.topic,
                properties: &letters::properties(letter),
                payload: letter.payload,
                qos: QoS::AtLeastOnce,
                retain: false,
                expires_at: Some(letter.expires_at),
            },
            letter.id,
        );
        let mut all = Posted::NobodyThere;
        for (outbox, options) in takers {
            let outgoing = Outgoing {
                message: Arc::clone(&message),
                qos: options
                    .iter()
                    .map(|it| it.qos)
                    .max()
                    .unwrap_or(QoS::AtMostOnce)
                    .min(QoS::AtLeastOnce),
                retain: false,
                subscription_ids: options.iter().filter_map(|it| it.id).collect(),
                share: None,
            };
            match (outbox.post_letter(letter.id, letter.device, outgoing), all) {
                (Posted::OnItsWay, _) => all = Posted::OnItsWay,
                (Posted::NoRoom, Posted::NobodyThere) => all = Posted::NoRoom,
                _ => {}
            }
        }
        all
    }

    /// Takes a letter back that was not sent.
    pub(crate) fn withdraw(&self, topic: &str, id: u128) {
        for (outbox, _) in self.takers(topic) {
            outbox.with(|state| state.flow.withdraw(id));
        }
    }

    /// The sessions that subscribe to `topic`, each with its subscriptions that match.
    fn takers(&self, topic: &str) -> Vec<(Arc<Outbox>, Vec<SubscribeOptions>)> {
        let mut takers: Vec<(Arc<Outbox>, Vec<SubscribeOptions>)> = Vec::new();
        self.each_plain(topic, &mut |outbox, options| match takers
            .iter_mut()
            .find(|(it, _)| it.number == outbox.number)
        {
            Some((_, all)) => all.push(options),
            None => takers.push((Arc::clone(outbox), vec![options])),
        });
        takers
    }
}
