"""Eclipse Paho for Python against a broker: each scenario prints `NAME ok`, or why not.

Usage: paho_client.py URL 3.1.1|5 SCENARIO…      URL is mqtt://, mqtts://, ws:// or wss://HOST:PORT/PATH
       BELLWIRE_INTEROP_CA names the file of the authority that signed the broker's certificate.
"""

import os
import queue
import socket
import sys
import threading
import traceback
import urllib.parse

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PATIENCE_S = 30
URL = urllib.parse.urlsplit(sys.argv[1])
IS_5 = sys.argv[2] == "5"


class Client:
    """A connected client."""

    def __init__(self, name, clean=True, will=None):
        version = {"protocol": mqtt.MQTTv5} if IS_5 else {"protocol": mqtt.MQTTv311, "clean_session": clean}
        self.mqtt = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=f"paho-{name}",
            transport="websockets" if URL.scheme in ("ws", "wss") else "tcp",
            reconnect_on_failure=False,
            **version,
        )
        if URL.scheme in ("mqtts", "wss"):
            self.mqtt.tls_set(ca_certs=os.environ["BELLWIRE_INTEROP_CA"])
        if will:
            self.mqtt.will_set(*will)
        self.messages = queue.Queue()
        self.subscribed = queue.Queue()
        connected = queue.Queue()
        self.mqtt.on_connect = lambda _c, _u, flags, reason, _p: connected.put((flags, reason))
        self.mqtt.on_message = lambda _c, _u, message: self.messages.put(message)
        self.mqtt.on_subscribe = lambda _c, _u, _id, reasons, _p: self.subscribed.put(reasons)
        options = {}
        if IS_5:
            options["clean_start"] = clean
            options["properties"] = Properties(PacketTypes.CONNECT)
            options["properties"].SessionExpiryInterval = 0 if clean else 300
        self.mqtt.connect(URL.hostname, URL.port, **options)
        self.mqtt.loop_start()
        flags, reason = connected.get(timeout=PATIENCE_S)
        assert not reason.is_failure, reason
        self.session_present = flags.session_present

    def subscribe(self, topic, qos):
        """Subscribes and checks that this QoS is granted."""
        self.mqtt.subscribe(topic, qos)
        reasons = self.subscribed.get(timeout=PATIENCE_S)
        assert [reason.value for reason in reasons] == [qos], reasons

    def publish(self, topic, payload, qos, retain=False):
        """Publishes and waits until that is settled."""
        info = self.mqtt.publish(topic, payload, qos, retain)
        info.wait_for_publish(PATIENCE_S)
        assert info.is_published(), "never acknowledged"

    def expect(self, payload, qos, retain=False):
        """The next message is this one."""
        message = self.messages.get(timeout=PATIENCE_S)
        found = (message.payload, message.qos, bool(message.retain))
        assert found == (payload, qos, retain), f"{found} is not {(payload, qos, retain)}"

    def leave(self):
        """Says goodbye."""
        gone = threading.Event()
        self.mqtt.on_disconnect = lambda *_: gone.set()
        self.mqtt.disconnect()
        assert gone.wait(PATIENCE_S)
        self.mqtt.loop_stop()

    def vanish(self):
        """Ends the connection without a word."""
        sock = self.mqtt.socket()
        # A WebSocket of paho's is a wrapper that cannot do this.
        getattr(sock, "_socket", sock).shutdown(socket.SHUT_RDWR)
        self.mqtt.loop_stop()


def passes_on(qos):
    """A message goes from one client to another."""
    subscriber, publisher = Client(f"sub{qos}"), Client(f"pub{qos}")
    subscriber.subscribe("paho/on/+", qos)
    for number in range(20):
        publisher.publish("paho/on/x", b"%d" % number, qos)
    for number in range(20):
        subscriber.expect(b"%d" % number, qos)
    publisher.leave()
    subscriber.leave()


def retained():
    """A retained message waits for who comes later, until it is taken away."""
    publisher = Client("retains")
    publisher.publish("paho/kept", b"kept", 1, retain=True)
    for qos in (0, 1):
        later = Client(f"later{qos}")
        later.subscribe("paho/kept", qos)
        later.expect(b"kept", qos, retain=True)
        later.leave()
    publisher.publish("paho/kept", b"", 1, retain=True)
    last = Client("last")
    last.subscribe("paho/kept", 1)
    publisher.publish("paho/kept", b"plain", 1)
    last.expect(b"plain", 1)
    last.leave()
    publisher.leave()


def will():
    """A will is published when its client is lost, and not when it leaves."""
    watcher = Client("watches")
    watcher.subscribe("paho/will", 1)
    Client("leaves", will=("paho/will", b"left", 1)).leave()
    Client("lost", will=("paho/will", b"lost", 1)).vanish()
    watcher.expect(b"lost", 1)
    watcher.leave()


def session():
    """What comes while a client is away waits for it."""
    first = Client("sleeps", clean=False)
    assert not first.session_present
    first.subscribe("paho/away", 2)
    first.leave()
    publisher = Client("wakes")
    for qos in (1, 2):
        publisher.publish("paho/away", b"away", qos)
    again = Client("sleeps", clean=False)
    assert again.session_present
    for qos in (1, 2):
        again.expect(b"away", qos)
    again.leave()
    fresh = Client("sleeps", clean=True)
    assert not fresh.session_present
    fresh.leave()
    publisher.leave()


SCENARIOS = {
    "qos0": lambda: passes_on(0),
    "qos1": lambda: passes_on(1),
    "qos2": lambda: passes_on(2),
    "retained": retained,
    "will": will,
    "session": session,
}

failed = False
for name in sys.argv[3:]:
    try:
        SCENARIOS[name]()
        print(name, "ok")
    except Exception:  # A scenario's end, whatever it is; the next one still runs.
        failed = True
        print(name, "failed:", traceback.format_exc())
sys.exit(failed)
