// mqtt.js against a broker: each scenario prints `NAME ok`, or why not.
//
// Usage: node mqttjs_client.mjs URL 3.1.1|5 SCENARIO…    URL is mqtt://, mqtts://, ws:// or wss://HOST:PORT
//        BELLWIRE_INTEROP_CA names the file of the authority that signed the broker's certificate.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import mqtt from "mqtt";

const PATIENCE_MS = 30_000;
const [url, version, ...names] = process.argv.slice(2);
const is5 = version === "5";
const ca = process.env.BELLWIRE_INTEROP_CA;

// What `promise` gives, or the end of the scenario.
function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing came`)), PATIENCE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

class Client {
  static async connect(name, { clean = true, will } = {}) {
    const self = new Client();
    self.messages = [];
    self.waiting = [];
    self.mqtt = mqtt.connect(url, {
      clientId: `mqttjs-${name}`,
      protocolVersion: is5 ? 5 : 4,
      clean,
      will,
      reconnectPeriod: 0,
      ...(is5 && { properties: { sessionExpiryInterval: clean ? 0 : 300 } }),
      ...(ca && { ca: readFileSync(ca) }),
    });
    self.mqtt.on("message", (_topic, payload, packet) => {
      const message = [payload.toString(), packet.qos, packet.retain];
      const next = self.waiting.shift();
      next ? next(message) : self.messages.push(message);
    });
    const [connack] = await within(once(self.mqtt, "connect"), `${name} connects`);
    self.sessionPresent = connack.sessionPresent;
    // Later ones belong to what was asked then.
    self.mqtt.on("error", () => {});
    return self;
  }

  async subscribe(topic, qos) {
    const granted = await within(this.mqtt.subscribeAsync(topic, { qos }), "SUBACK");
    assert.deepEqual(granted.map((it) => it.qos), [qos]);
  }

  publish(topic, payload, qos, retain = false) {
    return within(this.mqtt.publishAsync(topic, payload, { qos, retain }), "an acknowledgement");
  }

  async expect(payload, qos, retain = false) {
    const found = this.messages.shift() ?? (await within(new Promise((it) => this.waiting.push(it)), payload));
    assert.deepEqual(found, [payload, qos, retain]);
  }

  leave() {
    return within(this.mqtt.endAsync(), "the end");
  }

  // Ends the connection without a word.
  vanish() {
    this.mqtt.stream.destroy();
  }
}

// A message goes from one client to another.
async function passesOn(qos) {
  const subscriber = await Client.connect(`sub${qos}`);
  const publisher = await Client.connect(`pub${qos}`);
  await subscriber.subscribe("mqttjs/on/+", qos);
  for (let n = 0; n < 20; n++) await publisher.publish("mqttjs/on/x", `${n}`, qos);
  for (let n = 0; n < 20; n++) await subscriber.expect(`${n}`, qos);
  await publisher.leave();
  await subscriber.leave();
}

// A retained message waits for who comes later, until it is taken away.
async function retained() {
  const publisher = await Client.connect("retains");
  await publisher.publish("mqttjs/kept", "kept", 1, true);
  for (const qos of [0, 1]) {
    const later = await Client.connect(`later${qos}`);
    await later.subscribe("mqttjs/kept", qos);
    await later.expect("kept", qos, true);
    await later.leave();
  }
  await publisher.publish("mqttjs/kept", "", 1, true);
  const last = await Client.connect("last");
  await last.subscribe("mqttjs/kept", 1);
  await publisher.publish("mqttjs/kept", "plain", 1);
  await last.expect("plain", 1);
  await last.leave();
  await publisher.leave();
}

// A will is published when its client is lost, and not when it leaves.
async function will() {
  const watcher = await Client.connect("watches");
  await watcher.subscribe("mqttjs/will", 1);
  const lastWords = (payload) => ({ will: { topic: "mqttjs/will", payload, qos: 1, retain: false } });
  await (await Client.connect("leaves", lastWords("left"))).leave();
  (await Client.connect("lost", lastWords("lost"))).vanish();
  await watcher.expect("lost", 1);
  await watcher.leave();
}

// What comes while a client is away waits for it.
async function session() {
  const first = await Client.connect("sleeps", { clean: false });
  assert.equal(first.sessionPresent, false);
  await first.subscribe("mqttjs/away", 2);
  await first.leave();
  const publisher = await Client.connect("wakes");
  for (const qos of [1, 2]) await publisher.publish("mqttjs/away", "away", qos);
  const again = await Client.connect("sleeps", { clean: false });
  assert.equal(again.sessionPresent, true);
  for (const qos of [1, 2]) await again.expect("away", qos);
  await again.leave();
  const fresh = await Client.connect("sleeps", { clean: true });
  assert.equal(fresh.sessionPresent, false);
  await fresh.leave();
  await publisher.leave();
}

const scenarios = {
  qos0: () => passesOn(0),
  qos1: () => passesOn(1),
  qos2: () => passesOn(2),
  retained,
  will,
  session,
};

let failed = false;
for (const name of names) {
  try {
    await scenarios[name]();
    console.log(name, "ok");
  } catch (error) {
    failed = true;
    console.log(name, "failed:", error);
  }
}
process.exit(failed ? 1 : 0);
