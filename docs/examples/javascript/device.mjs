// A device that publishes its temperature, keeps what is not acknowledged, and answers commands.
//
// Usage: node device.mjs --device NAME --token TOKEN [--url URL] [--ca FILE] [--interval S] [--count N]
// Each option is also a variable: DEVICE, TOKEN, URL, CA, INTERVAL, COUNT.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import mqtt from "mqtt";

const BUFFER_MAX = 10_000; // readings that are kept while the line is down; then the oldest go
const IN_FLIGHT_MAX = 20; // publishes on their way at once

const { env } = process;
const { values: options } = parseArgs({
  options: {
    device: { type: "string", default: env.DEVICE },
    token: { type: "string", default: env.TOKEN },
    url: { type: "string", default: env.URL ?? "mqtt://127.0.0.1:1883" }, // mqtts://…:8883 is TLS
    ca: { type: "string", default: env.CA },
    interval: { type: "string", default: env.INTERVAL ?? "10" },
    count: { type: "string", default: env.COUNT ?? "0" },
  },
});
const { device, token } = options;
const count = Number(options.count);
if (!device || !token) {
  console.error("--device and --token are needed");
  process.exit(2);
}

let intervalS = Number(options.interval);
let lastCommand;
const waiting = []; // measured, not sent
let [seq, inFlight, acknowledged, dropped, failures] = [0, 0, 0, 0, 0];

// Longer after each failure, up to a minute, and never as long as another device waits.
const pauseMs = () => Math.min(60_000, 1000 * 2 ** Math.min(failures, 6)) * (0.5 + Math.random() / 2);

const client = mqtt.connect(options.url, {
  clientId: device,
  username: device,
  password: token,
  protocolVersion: 5,
  keepalive: 30,
  clean: false, // the session, and with it what waits for us, lasts …
  properties: { sessionExpiryInterval: 86_400 }, // … for a day without a connection
  reconnectPeriod: pauseMs(),
  reconnectOnConnackError: true, // "server unavailable", for one, is over some time
  ...(options.ca && { ca: readFileSync(options.ca) }),
});

// What the sensor says; here something around 21 degrees.
const readTemperature = () => Number((21 + Math.random() - 0.5).toFixed(2));

// A reading with its own time and number, so that it may come late, and twice.
function measure() {
  if (waiting.length === BUFFER_MAX) {
    waiting.shift();
    dropped += 1;
  }
  seq += 1;
  waiting.push(JSON.stringify({ ts: Date.now(), seq, temperature: readTemperature() }));
  send();
  if (!count || seq < count) setTimeout(measure, intervalS * 1000);
}

// What waits, as far as there is room. What was on its way when a connection broke, mqtt.js sends again.
function send() {
  while (client.connected && waiting.length > 0 && inFlight < IN_FLIGHT_MAX) {
    inFlight += 1;
    client.publish(`devices/${device}/telemetry`, waiting.shift(), { qos: 1 }, published);
  }
}

// A PUBACK: now it is on Bellwire's disk.
function published(error) {
  inFlight -= 1;
  if (error) console.log(`a reading was refused: ${error.message}`);
  else acknowledged += 1;
  if (count && acknowledged === count) {
    console.log(`${acknowledged} readings acknowledged, ${dropped} dropped`);
    client.end();
  } else {
    send();
  }
}

client.on("connect", () => {
  failures = 0;
  client.options.reconnectPeriod = pauseMs();
  client.subscribe(`devices/${device}/commands`, { qos: 1 });
  send();
});

client.on("reconnect", () => {
  failures += 1;
  client.options.reconnectPeriod = pauseMs(); // for the next time
});

client.on("offline", () => console.log(`no connection; ${waiting.length} readings wait`));
client.on("error", (error) => console.log(`no connection: ${error.message}`));

// Does what is asked once, and says so each time: a command may come twice, under the same id.
client.on("message", (_topic, payload, { properties = {} }) => {
  const command = properties.correlationData?.toString("hex");
  let answer;
  try {
    const asked = Number(JSON.parse(payload.toString()).interval_s);
    if (!(asked > 0)) throw new RangeError("not an interval");
    if (command !== lastCommand) [intervalS, lastCommand] = [asked, command];
    answer = { interval_s: intervalS };
  } catch {
    answer = { error: 'a command is {"interval_s": SECONDS}' };
  }
  console.log(`command ${payload}:`, answer);
  if (properties.responseTopic) client.publish(properties.responseTopic, JSON.stringify(answer), { qos: 1 });
});

measure();
