//! Publishes on behalf of clients that are gone, and of the service itself: wills, what ended sessions
//! leave behind, values about the broker.

use std::time::Duration;

use bellwire_model::{ClientId, Delivery, Outcome, PublishBatch, PublishRef, QoS, Receipt};

use crate::codec::connect::Will;
use crate::desk::Shared;
use crate::hub::Parting;
use crate::listener::Inlet;
use crate::message::Routed;
use crate::ops::Effects;

/// Publishes the wills of these, and has the changes made durable.
pub(crate) async fn part<I: Inlet>(
    shared: &Shared<I>,
    partings: Vec<Parting>,
    mut effects: Effects,
) {
    for Parting { outbox, will } in partings {
        if let Some(will) = will {
            publish_will(shared, &outbox.client, outbox.number, &will, &mut effects).await;
        }
    }
    note(shared, effects).await;
}

/// Publishes the will of a client that is lost: to subscribers, to what is retained, and, on a topic
/// of telemetry, to the log. [MQTT-3.1.2-8], [MQTT-3.1.2-14], [MQTT-3.1.2-15]
pub(crate) async fn publish_will<I: Inlet>(
    shared: &Shared<I>,
    client: &ClientId,
    session: u64,
    will: &Will,
    effects: &mut Effects,
) {
    shared.metrics.wills_published.inc();
    let expiry = will.expiry_s.map(|it| Duration::from_secs(it.into()));
    let routed = Routed {
        topic: &will.topic,
        properties: &will.properties,
        payload: &will.payload,
        qos: will.qos,
        retain: will.retain,
        expires_at: expiry.map(|expiry| shared.clock.now() + expiry),
    };
    if will.retain {
        // A full store counts it; nobody is there to be told.
        let _full = shared.hub.retain(&routed, effects);
    }
    shared.hub.route(Some(session), &routed, effects);
    if shared.inlet.claims(&will.topic) {
        submit_will(shared, client, will).await;
    }
}

async fn submit_will<I: Inlet>(shared: &Shared<I>, client: &ClientId, will: &Will) {
    let mut publishes = PublishBatch::default();
    publishes.push(&PublishRef {
        topic: &will.topic,
        payload: &will.payload,
        qos: QoS::AtMostOnce, // Nobody waits for an answer.
        dup: false,
        retain: false,
        packet_id: 0,
    });
    let lost = shared.metrics.publishes_lost.clone();
    let receipt = Receipt::new(move |outcome| {
        if outcome != Outcome::Durable {
            lost.inc();
        }
    });
    let session = Vec::new();
    let delivery = Delivery { client: client.clone(), publishes, session, receipt };
    shared.metrics.deliveries.inc();
    shared.inlet.submit(delivery).await;
}

/// Has changes made durable that nobody waits for.
pub(crate) async fn note<I: Inlet>(shared: &Shared<I>, mut effects: Effects) {
    if effects.is_empty() {
        return;
    }
    let session = effects.take_bytes();
    let receipt = Receipt::new(move |outcome| effects.settle(outcome));
    let client = ClientId::new("broker").expect("a valid name");
    let publishes = PublishBatch::default();
    shared.inlet.submit(Delivery { client, publishes, session, receipt }).await;
}
