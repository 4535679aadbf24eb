// What a browser test does to the world behind the console: make a freezer warm or cold, stop and
// start the server. Either the mock in this process, or a real service named by the environment.
import { spawn } from "node:child_process";
import { connect } from "node:net";

import { makeFleet } from "../dev/fleet.mjs";
import { startMock } from "../dev/mock.mjs";

/** A world of our own: every device is imitated. */
async function mockWorld() {
  const fleet = makeFleet();
  let mock = await startMock(fleet, 0);
  const port = Number(new URL(mock.url).port);
  return {
    url: mock.url,
    device: "freezer-03",
    nasty: fleet.nasty,
    // As the fleet makes them: the first is right, the second behind, the fourth ahead.
    clocks: {
      "freezer-01": null,
      "freezer-02": "clock 2 h 00 m behind",
      "pump-04": "clock 1 m 30 s ahead",
    },
    fail: async () => fleet.fail("freezer-03", true),
    heal: async () => fleet.fail("freezer-03", false),
    stop: () => mock.stop(),
    start: async () => {
      mock = await startMock(fleet, port);
    },
    end: () => mock.stop(),
  };
}

function utf8(text) {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
}

function packet(type, body) {
  const length = [];
  for (let rest = body.length; rest > 0 || length.length === 0; rest >>= 7) {
    length.push((rest & 127) | (rest > 127 ? 128 : 0));
  }
  return Buffer.concat([Buffer.from([type, ...length]), body]);
}

/** Publishes one message as MQTT 3.1.1, QoS 1, and returns when it is acknowledged. */
function publish({ host, port }, topic, payload) {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host);
    const flags = Buffer.from([4, 2, 0, 30]);
    const client = utf8(`console-test-${Math.random().toString(36).slice(2)}`);
    socket.on("connect", () => {
      socket.write(packet(0x10, Buffer.concat([utf8("MQTT"), flags, client])));
      socket.write(packet(0x32, Buffer.concat([utf8(topic), Buffer.from([0, 1]), Buffer.from(payload)])));
    });
    let answer = Buffer.alloc(0);
    socket.on("data", (bytes) => {
      answer = Buffer.concat([answer, bytes]);
      // CONNACK is four bytes in MQTT 3.1.1, then comes the PUBACK.
      if (answer.length >= 4 && answer[3] !== 0) reject(new Error(`CONNACK ${answer[3]}`));
      if (answer.length < 8) return;
      socket.end(Buffer.from([0xe0, 0]));
      resolve();
    });
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("the broker closed the connection")));
  });
}

function run(command) {
  return new Promise((resolve, reject) => {
    const child = spawn("sh", ["-c", command], { stdio: "inherit" });
    child.on("error", reject);
    child.on("exit", (code) => (code === 0 ? resolve() : reject(new Error(`${command}: exit ${code}`))));
  });
}

/** A running service; its test device speaks by MQTT four times a second. */
async function realWorld(url) {
  const env = process.env;
  for (const name of ["BELLWIRE_MQTT", "BELLWIRE_STOP", "BELLWIRE_START"]) {
    if (env[name] === undefined) throw new Error(`BELLWIRE_URL is set, so ${name} must be too`);
  }
  const [host, port] = env.BELLWIRE_MQTT.split(":");
  const door = { host, port: Number(port) };
  const device = env.BELLWIRE_TEST_DEVICE ?? "freezer-03";
  const [good, bad] = [env.BELLWIRE_TEST_GOOD ?? "-20", env.BELLWIRE_TEST_BAD ?? "-5"];
  const nasty = '<img src=x onerror="window.pwned=1">';
  let value = good;
  const speak = async () => {
    await publish(door, `devices/${device}/telemetry`, `{"temperature": ${value}}`);
    await publish(door, `devices/${nasty}/telemetry`, `{"temperature": ${good}}`);
  };
  await speak();
  // While the service is away nobody answers, as for a real device; the next turn tries again.
  const timer = setInterval(() => speak().catch(() => undefined), 250);
  return {
    url,
    device,
    nasty,
    // Its payloads carry no time.
    clocks: { [device]: null },
    fail: async () => {
      value = bad;
    },
    heal: async () => {
      value = good;
    },
    stop: () => run(env.BELLWIRE_STOP),
    start: () => run(env.BELLWIRE_START),
    end: async () => clearInterval(timer),
  };
}

export function openWorld() {
  const url = process.env.BELLWIRE_URL;
  return url === undefined ? mockWorld() : realWorld(url.replace(/\/$/, ""));
}
