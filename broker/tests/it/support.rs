//! A broker on a free port, an inlet that hands deliveries to the test, and a client that speaks
//! in bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bellwire_broker::access::{Gatekeeper, OpenDoor};
use bellwire_broker::{
    Broker, BrokerHandle, Config, Inlet, Metrics, SharedSessions, TlsHandle, Transport,
};
use bellwire_model::{Clock, Delivery, Outcome, QoS, Timestamp};
use prometheus::Registry;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Far longer than anything takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH
    }
}

/// Claims `devices/…`, and has room for as many deliveries as the test says.
#[derive(Debug)]
pub(crate) struct ChannelInlet(mpsc::Sender<Delivery>);

impl Inlet for ChannelInlet {
    fn claims(&self, topic: &str) -> bool {
        topic.starts_with("devices/")
    }

    async fn submit(&self, delivery: Delivery) {
        if self.0.send(delivery).await.is_err() {
            // The test has ended: its receipt asks for a retry.
        }
    }
}

/// A running broker.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    /// Where it listens beside that.
    pub(crate) others: Vec<(Transport, SocketAddr)>,
    pub(crate) tls: Option<TlsHandle>,
    pub(crate) handle: BrokerHandle,
    pub(crate) deliveries: mpsc::Receiver<Delivery>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) tracker: TaskTracker,
    registry: Registry,
}

pub(crate) async fn within<T>(what: impl Future<Output = T> + Send) -> T {
    timeout(PATIENCE, what).await.expect("it happens in time")
}

/// Waits until the state is as it should be.
pub(crate) async fn wait_until(is_so: impl Fn() -> bool + Send + Sync) {
    let mut look = tokio::time::interval(Duration::from_millis(1));
    within(async {
        while !is_so() {
            look.tick().await;
        }
    })
    .await;
}

impl Service {
    /// A broker with the default configuration and much room.
    pub(crate) async fn start() -> Self {
        Self::start_with(Config::default(), 1000).await
    }

    /// A broker whose inlet has room for `room` deliveries that the test has not taken.
    pub(crate) async fn start_with(config: Config, room: usize) -> Self {
        Self::start_guarded(config, room, Arc::new(OpenDoor)).await
    }

    /// A broker with a gatekeeper of the test's.
    pub(crate) async fn start_guarded(
        config: Config,
        room: usize,
        gatekeeper: Arc<dyn Gatekeeper>,
    ) -> Self {
        let config = Config { listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))], ..config };
        let (sender, deliveries) = mpsc::channel(room);
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let tracker = TaskTracker::new();
        let inlet = Arc::new(ChannelInlet(sender));
        let sessions = SharedSessions::new(&config, metrics).unwrap();
        let clock = Arc::new(Epoch);
        let broker = Broker::bind(config, &sessions, inlet, gatekeeper, clock, tracker.clone())
            .await
            .unwrap();
        let address = broker.local_addrs()[0];
        let others = [Transport::Tls, Transport::WebSocket, Transport::WebSocketTls];
        let at = |transport| broker.addresses(transport).into_iter().map(move |it| (transport, it));
        let others = others.into_iter().flat_map(at).collect();
        let tls = broker.tls();
        let handle = broker.handle();
        let shutdown = CancellationToken::new();
        tracker.spawn(broker.run(shutdown.clone()));
        Self { address, others, tls, handle, deliveries, shutdown, tracker, registry }
    }

    /// Where it listens for this.
    pub(crate) fn at(&self, transport: Transport) -> SocketAddr {
        let mut others = self.others.iter();
        others.find(|(it, _)| *it == transport).expect("it was configured").1
    }

    /// The next delivery.
    pub(crate) async fn delivery(&mut self) -> Delivery {
        within(self.deliveries.recv()).await.unwrap()
    }

    /// Settles whatever comes from now on.
    pub(crate) fn settle_all(&mut self) {
        let mut deliveries = std::mem::replace(&mut self.deliveries, mpsc::channel(1).1);
        self.tracker.spawn(async move {
            while let Some(delivery) = deliveries.recv().await {
                delivery.receipt.settle(Outcome::Durable);
            }
        });
    }

    /// The sum of a metric's children, of those with the label value `label` if one is given.
    pub(crate) fn metric(&self, name: &str, label: Option<&str>) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).expect("a known metric");
        let children = family.get_metric().iter().filter(|metric| {
            label.is_none_or(|label| metric.get_label().iter().any(|it| it.value() == label))
        });
        let value = |it: &prometheus::proto::Metric| {
            it.get_counter().get_value() + it.get_gauge().get_value()
        };
        children.map(value).sum()
    }

    /// Stops the broker and waits for all of its tasks. The clients go first: the broker would
    /// give them time to hear of it.
    pub(crate) async fn stop(self, clients: impl Send) {
        drop(clients);
        self.shutdown.cancel();
        self.tracker.close();
        drop(self.deliveries);
        within(self.tracker.wait()).await;
    }
}

/// A client that speaks in bytes.
#[derive(Debug)]
pub(crate) struct RawClient<S = TcpStream>(pub(crate) S);

impl RawClient {
    /// Connected over TCP only.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// Connected with MQTT 3.1.1.
    pub(crate) async fn v3(address: SocketAddr, id: &str) -> Self {
        Self::open(address).await.connected(id).await
    }

    /// Connected with MQTT 5.
    pub(crate) async fn v5(address: SocketAddr, id: &str) -> Self {
        let mut client = Self::open(address).await;
        client.send(&connect(5, id)).await;
        let connack = client.packet().await;
        assert_eq!(connack[..4], [0x20, connack.len() as u8 - 2, 0, 0]);
        client
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> RawClient<S> {
    /// Connected with MQTT 3.1.1 over what it has.
    pub(crate) async fn connected(mut self, id: &str) -> Self {
        self.send(&connect(4, id)).await;
        self.expect(&[0x20, 2, 0, 0]).await;
        self
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        within(self.0.write_all(bytes)).await.unwrap();
    }

    /// Sends `bytes` as far as the broker still reads.
    pub(crate) async fn send_what_goes(&mut self, bytes: &[u8]) {
        let _broken_pipe = within(self.0.write_all(bytes)).await;
    }

    /// What one read gives.
    pub(crate) async fn read_once(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 65_536];
        let read_bytes = within(self.0.read(&mut buffer)).await.unwrap();
        buffer.truncate(read_bytes);
        buffer
    }

    /// What one read gives; nothing if the connection is reset.
    pub(crate) async fn read_or_nothing(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 65_536];
        let read_bytes = within(self.0.read(&mut buffer)).await.unwrap_or(0);
        buffer.truncate(read_bytes);
        buffer
    }

    /// The next packet, shorter than 130 bytes.
    pub(crate) async fn packet(&mut self) -> Vec<u8> {
        let mut packet = vec![0; 2];
        within(self.0.read_exact(&mut packet)).await.unwrap();
        let size = usize::from(packet[1]);
        assert!(size < 128, "a short packet");
        packet.resize(2 + size, 0);
        within(self.0.read_exact(&mut packet[2..])).await.unwrap();
        packet
    }

    pub(crate) async fn expect(&mut self, bytes: &[u8]) {
        let mut read = vec![0; bytes.len()];
        within(self.0.read_exact(&mut read)).await.unwrap();
        assert_eq!(read, bytes);
    }

    /// Waits for the end of the connection and checks that `bytes` are all that comes before, but for
    /// reasons in words.
    pub(crate) async fn expect_end(&mut self, bytes: &[u8]) {
        let mut read = Vec::new();
        within(self.0.read_to_end(&mut read)).await.unwrap();
        assert_eq!(brief(&read), bytes);
    }

    /// Everything sent before is processed once this returns, and `bytes` are all it brought.
    pub(crate) async fn settled_with(&mut self, bytes: &[u8]) {
        self.send(&[0xC0, 0]).await;
        self.expect(&[bytes, &[0xD0, 0]].concat()).await;
    }
}

/// `bytes`, packets shorter than 130 bytes, with the reasons in words left out.
pub(crate) fn brief(mut bytes: &[u8]) -> Vec<u8> {
    let mut brief = Vec::new();
    while let [_, length, ..] = *bytes {
        let (packet, rest) = bytes.split_at((2 + usize::from(length)).min(bytes.len()));
        match packet {
            [0xE0, _, code, _, ..] => brief.extend([0xE0, 1, *code]),
            [0x20, _, flags, code, ..] if *code >= 0x80 => {
                brief.extend([0x20, 3, *flags, *code, 0])
            }
            _ => brief.extend(packet),
        }
        bytes = rest;
    }
    brief.extend(bytes);
    brief
}

/// CONNECT with a clean start and a keepalive of a minute.
pub(crate) fn connect(level: u8, id: &str) -> Vec<u8> {
    let mut body = b"\0\x04MQTT".to_vec();
    body.extend([level, 2, 0, 60]);
    if level == 5 {
        body.push(0);
    }
    body.extend(text(id));
    packet(0x10, &body)
}

/// A PUBLISH of MQTT 3.1.1; packet identifier 0 means QoS 0.
pub(crate) fn publish(topic: &str, payload: &[u8], packet_id: u16) -> Vec<u8> {
    let mut body = text(topic);
    if packet_id != 0 {
        body.extend(packet_id.to_be_bytes());
    }
    body.extend(payload);
    packet(if packet_id == 0 { 0x30 } else { 0x32 }, &body)
}

/// A SUBSCRIBE of MQTT 3.1.1 with packet identifier 1.
pub(crate) fn subscribe(filter: &str, qos: u8) -> Vec<u8> {
    packet(0x82, &[&[0, 1][..], &text(filter), &[qos]].concat())
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u16).to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut length = body.len();
    while length >= 0x80 {
        packet.push((length & 0x7F) as u8 | 0x80);
        length >>= 7;
    }
    packet.push(length as u8);
    packet.extend(body);
    packet
}

/// A client of any transport.
pub(crate) trait Speaks {
    async fn says(&mut self, bytes: &[u8]);
    async fn hears(&mut self, bytes: &[u8]);
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Speaks for RawClient<S> {
    async fn says(&mut self, bytes: &[u8]) {
        self.send(bytes).await;
    }

    async fn hears(&mut self, bytes: &[u8]) {
        self.expect(bytes).await;
    }
}

/// A large publish in, and more out than the sockets between us hold: what a transport keeps back must
/// follow.
pub(crate) async fn exchange_large(service: &mut Service, client: &mut impl Speaks) {
    let payload: Vec<u8> = (0..500_000_u32).map(|n| n as u8).collect();
    client.says(&publish("devices/d/telemetry", &payload, 7)).await;
    let delivery = service.delivery().await;
    assert_eq!(delivery.publishes.iter().next().unwrap().unwrap().payload, payload);
    delivery.receipt.settle(Outcome::Durable);
    client.hears(&[0x40, 2, 0, 7]).await;
    client.says(&subscribe("big", 0)).await;
    client.hears(&[0x90, 3, 0, 1, 0]).await;
    for _ in 0..3 {
        service.handle.publish("big", &payload, QoS::AtMostOnce).unwrap();
    }
    for _ in 0..3 {
        client.hears(&publish("big", &payload, 0)).await;
    }
}
