// A fleet that looks like one, for the pictures of the guides: four cold stores with a day of history, and a power cut
// at two of them some minutes ago. The same numbers each time; only the time of day is another.
import { until } from "./wait.mjs";

const SITES = ["berlin", "bonn", "lyon", "turin"];
const MINUTE = 60_000;
/** The day before is told in these steps, the last twenty minutes in smaller ones. */
const STEP_MS = 2 * MINUTE;
const LATELY_MS = 20 * MINUTE;
const SMALL_STEP_MS = 10_000;
/** What is older than five minutes calls nobody: all that is to call is younger. */
const LIVE_MS = 4.5 * MINUTE;

export const RULES = `
[[rule]]
name = "freezer-too-warm"
when = "temperature > limit"
clear = "temperature < limit - 2"
for = "20s"
severity = "critical"
select = "kind = 'freezer'"
params = { limit = -15.0, runbook = "https://wiki.example/freezers" }
summary = "Too warm: {value} °C, see {param:runbook}"

[[rule]]
name = "pump-pressure-low"
when = "pressure < limit"
for = "20s"
severity = "warning"
select = "kind = 'pump'"
params = { limit = 3 }
summary = "{value} bar, below {param:limit}"

[[rule]]
name = "door-open"
when = "door = true"
severity = "info"
summary = "The door stands open"
${SITES.flatMap((site) =>
  ["freezer", "pump", "oven"].map((kind) => `\n[[labels]]\ndevice = "${site}-${kind}-*"\nset = { site = "${site}", kind = "${kind}" }\n`),
).join("")}`;

/** Random numbers below 1, the same each time. */
function dice(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const round = (value, digits = 1) => Number(value.toFixed(digits));

/** Everything there is, by name: what it says at an instant, `fails_ms` after the instant when it begins to fail. */
function devices() {
  const all = new Map();
  SITES.forEach((site, s) => {
    for (let i = 1; i <= 6; i += 1) all.set(`${site}-freezer-0${i}`, freezer(s * 10 + i));
    for (let i = 1; i <= 2; i += 1) all.set(`${site}-pump-${i}`, pump(s * 10 + i));
    for (let i = 1; i <= 2; i += 1) all.set(`${site}-oven-${i}`, oven(s * 10 + i));
  });
  return all;
}

function freezer(seed) {
  const roll = dice(seed);
  const [phase, base] = [roll() * 6, -20.5 + roll()];
  // Loading makes it warmer for a while, at a few times of the day.
  const loadings = [...(seed === 2 ? [{ ago_ms: 6 * 60 * MINUTE, by: 8 }] : []), ...[roll() * 3, 4 + roll() * 7, 12 + roll() * 10].map((hours) => ({ ago_ms: hours * 60 * MINUTE + 30 * MINUTE, by: 1.5 + roll() * 2.2 }))];
  return ({ ago_ms, fails_ms, isOpen = false }) => {
    const cycle = Math.sin(ago_ms / (7 * MINUTE) + phase);
    const loaded = loadings.reduce((sum, it) => sum + it.by * Math.exp(-(((ago_ms - it.ago_ms) / (9 * MINUTE)) ** 2)), 0);
    const warm = fails_ms < 0 ? 0 : 13 * (1 - Math.exp(-fails_ms / (3 * MINUTE)));
    const power = fails_ms >= 0 ? 0 : round(95 + 60 * Math.max(0, cycle) + roll() * 6, 0);
    return { temperature: round(base + 0.7 * cycle + loaded + warm + roll() * 0.2), power, door: isOpen };
  };
}

function pump(seed) {
  const roll = dice(seed);
  return ({ fails_ms }) => {
    const weak = fails_ms < 0 ? 0 : 2.2 * (1 - Math.exp(-fails_ms / MINUTE));
    return { pressure: round(4.3 - weak + roll() * 0.2, 2), speed: round((fails_ms < 0 ? 1450 : 900) + roll() * 12, 0) };
  };
}

function oven(seed) {
  const roll = dice(seed);
  // It was too hot for a while, once or twice.
  const humps = [3 + roll() * 8, 13 + roll() * 9].map((hours) => ({ ago_ms: hours * 60 * MINUTE, by: roll() * 24 }));
  return ({ ago_ms }) => {
    const more = humps.reduce((sum, it) => sum + it.by * Math.exp(-(((ago_ms - it.ago_ms) / (14 * MINUTE)) ** 2)), 0);
    return { temperature: round(210 + 3 * Math.sin(ago_ms / (11 * MINUTE) + seed) + more + roll()) };
  };
}

/** Since when what fails does, in ms before now. */
function failures() {
  const at = (minutes) => minutes * MINUTE;
  return new Map([
    ...[4.4, 4.3, 4.2, 4.1, 3.9, 3.4].map((minutes, i) => [`lyon-freezer-0${i + 1}`, at(minutes)]),
    // The last of them fires in front of us.
    ...[3.2, 2.9, 1.68].map((minutes, i) => [`turin-freezer-0${i + 1}`, at(minutes)]),
    ["lyon-pump-1", at(4)],
    ["lyon-pump-2", at(3.6)],
    ["turin-pump-1", at(2.5)],
  ]);
}

export class Site {
  #devices = devices();
  #fails = failures();
  #open = new Map([["bonn-freezer-04", 2 * MINUTE], ["berlin-freezer-05", 1.2 * MINUTE]]);
  /** Whose doors open and shut. */
  #restless = [];
  #now = Date.now();
  #service;
  #fleet;
  #timer;

  constructor(service, fleet) {
    this.#service = service;
    this.#fleet = fleet;
  }

  /** Tells the day, and lets the fleet go on from there. */
  async begin() {
    await this.#tell(24 * 60 * MINUTE, LATELY_MS, STEP_MS);
    await this.#tell(LATELY_MS, LIVE_MS, SMALL_STEP_MS);
    await this.#tell(LIVE_MS, 0, SMALL_STEP_MS);
    this.#fleet.devices = new Map([...this.#devices.keys()].map((device) => [device, { values: this.#values(device, Date.now()), offset_ms: 0 }]));
    await this.#fleet.start();
    this.#timer = setInterval(() => {
      for (const device of this.#devices.keys()) this.#fleet.set(device, this.#values(device, Date.now()));
    }, 1_000);
    const from = new Date(this.#now - 25 * 60 * MINUTE).toISOString();
    await until("the day is stored", async () => {
      // Until its first reading is stored there is no such device.
      const asked = this.#service.api("GET", `devices/turin-oven-2/readings?metric=temperature&from=${from}&limit=10000`);
      const { readings } = await asked.catch(() => ({ readings: [] }));
      return readings.length > (24 * 60 * MINUTE) / STEP_MS;
    });
  }

  /** From now on the doors of these freezers, and of no others, open and shut, every two seconds. */
  unsettle(devices) {
    this.#restless = devices;
  }

  end() {
    clearInterval(this.#timer);
  }

  #values(device, at) {
    const [fails, opened] = [this.#fails.get(device) ?? -Infinity, this.#open.get(device)];
    return this.#devices.get(device)({
      ago_ms: this.#now - at,
      fails_ms: at - (this.#now - fails),
      isOpen: (opened !== undefined && at > this.#now - opened) || (this.#restless.includes(device) && Math.floor(at / 2_000) % 2 === 0),
    });
  }

  /** From so long ago until so long ago, a step after the other: for each device, then for all in their turn. */
  async #tell(from_ago, to_ago, step_ms) {
    const posts = [];
    for (const device of this.#devices.keys()) {
      const steps = [];
      for (let ago = from_ago; ago > to_ago; ago -= step_ms) {
        const at = this.#now - ago;
        steps.push({ ts: new Date(at).toISOString(), ...this.#values(device, at) });
      }
      for (let i = 0; i < steps.length; i += 100) posts.push({ device, telemetry: steps.slice(i, i + 100) });
    }
    for (let i = 0; i < posts.length; i += 60) await this.#service.api("POST", "telemetry", posts.slice(i, i + 60));
  }
}
