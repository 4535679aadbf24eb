"""A device that publishes its temperature, keeps what is not acknowledged, and answers commands.

Usage: device.py --device NAME --token TOKEN [--url URL] [--ca FILE] [--interval S] [--count N]
Each option is also a variable: DEVICE, TOKEN, URL, CA, INTERVAL, COUNT.
"""

import argparse
import collections
import json
import os
import random
import time
import urllib.parse

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

BUFFER_MAX = 10_000  # readings that are kept while the line is down; then the oldest go
IN_FLIGHT_MAX = 20  # publishes on their way at once, as many as paho sends by itself


def read_temperature():
    """What the sensor says; here a walk around 21 degrees."""
    return round(21 + random.gauss(0, 0.2), 2)


class Device:
    """One device and its connection. All of it runs in one thread."""

    def __init__(self, options):
        self.options = options
        self.url = urllib.parse.urlsplit(options.url)
        self.interval = options.interval
        self.waiting = collections.deque()  # measured, not sent
        self.in_flight = set()  # packet ids that are sent, not acknowledged
        self.seq = self.acknowledged = self.dropped = self.failures = 0
        self.online = False
        self.retry_at = 0.0
        self.last_command = None

        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=options.device, protocol=mqtt.MQTTv5
        )
        self.client.username_pw_set(options.device, options.token)
        if self.url.scheme == "mqtts":
            self.client.tls_set(ca_certs=options.ca)
        self.client.on_connect = self.connected
        self.client.on_publish = self.published
        self.client.on_message = self.commanded

    def connect(self):
        """Begins a connection. The session, and with it what waits for us, lasts for a day without one."""
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = 86_400
        port = self.url.port or (8883 if self.url.scheme == "mqtts" else 1883)
        self.client.connect(self.url.hostname, port, keepalive=30, clean_start=False, properties=session)

    def lost(self, why):
        """Waits longer after each failure, up to a minute, and never as long as another device."""
        self.online = False
        wait = min(60, 2**self.failures) * random.uniform(0.5, 1)
        self.failures = min(self.failures + 1, 6)
        self.retry_at = time.monotonic() + wait
        print(f"no connection ({why}); again in {wait:.1f} s, {len(self.waiting)} readings wait", flush=True)

    def connected(self, client, _userdata, _flags, reason, _properties):
        if reason.is_failure:  # a wrong token, for one; the connection is closed, and we come back later
            print(f"refused: {reason}", flush=True)
            return
        self.online, self.failures = True, 0
        client.subscribe(f"devices/{self.options.device}/commands", qos=1)

    def measure(self):
        """A reading with its own time and number, so that it may come late, and twice."""
        if len(self.waiting) == BUFFER_MAX:
            self.waiting.popleft()
            self.dropped += 1
        self.seq += 1
        reading = {"ts": round(time.time() * 1000), "seq": self.seq, "temperature": read_temperature()}
        self.waiting.append(json.dumps(reading))

    def send(self):
        """What waits, as far as there is room. What was on its way when a connection broke, paho sends again."""
        while self.online and self.waiting and len(self.in_flight) < IN_FLIGHT_MAX:
            message = self.client.publish(f"devices/{self.options.device}/telemetry", self.waiting.popleft(), qos=1)
            self.in_flight.add(message.mid)

    def published(self, _client, _userdata, mid, reason, _properties):
        """A PUBACK: now it is on Bellwire's disk."""
        if mid not in self.in_flight:
            return  # the answer to a command
        self.in_flight.remove(mid)
        if reason.is_failure:
            print(f"a reading was refused: {reason}", flush=True)
        else:
            self.acknowledged += 1

    def commanded(self, client, _userdata, message):
        """Does what is asked once, and says so each time: a command may come twice, under the same id."""
        answer_to = getattr(message.properties, "ResponseTopic", None)
        command = getattr(message.properties, "CorrelationData", None)
        try:
            interval = float(json.loads(message.payload)["interval_s"])
            if command != self.last_command:
                self.interval, self.last_command = max(0.1, interval), command
            answer = {"interval_s": self.interval}
        except (ValueError, KeyError, TypeError):
            answer = {"error": "a command is {\"interval_s\": SECONDS}"}
        print(f"command {message.payload.decode(errors='replace')}: {answer}", flush=True)
        if answer_to:
            client.publish(answer_to, json.dumps(answer), qos=1)

    def run(self):
        """Until `count` readings are acknowledged, or for ever."""
        linked, next_reading = False, time.monotonic()
        while not self.options.count or self.acknowledged < self.options.count:
            now = time.monotonic()
            if now >= next_reading and (not self.options.count or self.seq < self.options.count):
                self.measure()
                next_reading = max(next_reading + self.interval, now)
            if linked:
                self.send()
                error = self.client.loop(timeout=0.1)
                if error:
                    linked = False
                    self.lost(mqtt.error_string(error))
            elif now >= self.retry_at:
                try:
                    self.connect()
                    linked = True
                except OSError as error:
                    self.lost(error)
            else:
                time.sleep(0.1)
        self.client.disconnect()
        print(f"{self.acknowledged} readings acknowledged, {self.dropped} dropped", flush=True)


def options():
    env = os.environ.get
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default=env("DEVICE"))
    parser.add_argument("--token", default=env("TOKEN"))
    parser.add_argument("--url", default=env("URL", "mqtt://127.0.0.1:1883"), help="mqtts://HOST:8883 is TLS")
    parser.add_argument("--ca", default=env("CA"), help="the authority's certificate, if it is no public one")
    parser.add_argument("--interval", type=float, default=env("INTERVAL", "10"), help="seconds between readings")
    parser.add_argument("--count", type=int, default=env("COUNT", "0"), help="end after so many readings")
    chosen = parser.parse_args()
    if not chosen.device or not chosen.token:
        parser.error("--device and --token are needed")
    return chosen


if __name__ == "__main__":
    Device(options()).run()
