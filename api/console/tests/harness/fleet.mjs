// A simulated fleet: freezers and pumps that speak four times a second through one gateway.
import { Connection } from "./mqtt.mjs";

const EVERY_MS = 250;
export const WELL = -20;
export const WARM = -5;

/** A device that tries to be more than text. */
export const NASTY = '<img src=x onerror="window.pwned=1">';

/** Labels of the fleet's devices, for the rules file. */
export const LABELS = `
[[labels]]
device = "freezer-*"
set = { site = "berlin", kind = "freezer" }
`;

export class Fleet {
  /** What each device says: its values, and how far its clock is off; undefined: it sends none. */
  devices = new Map([
    ...["freezer-01", "freezer-02", "freezer-03", NASTY].map((name) => [name, { values: { temperature: WELL } }]),
    ["pump-01", { values: { pressure: 4.2, speed: 1450 } }],
    ["clock-behind", { values: { temperature: WELL }, offset_ms: -2 * 3_600_000 }],
  ]);
  #service;
  #connection = null;
  #timer;
  #connecting = false;

  constructor(service) {
    this.#service = service;
  }

  /** Starts to speak; returns when each device has been heard once. */
  async start() {
    await this.#connect();
    await this.speak();
    this.#timer = setInterval(() => void this.#turn(), EVERY_MS);
  }

  /** Other values of a device, from its next words on. */
  set(device, values) {
    this.devices.set(device, { ...this.devices.get(device), values });
  }

  warm(device) {
    this.set(device, { temperature: WARM });
  }

  cool(device) {
    this.set(device, { temperature: WELL });
  }

  /** Says something as it is, on a topic of the device. */
  async say(device, payload, topic = "telemetry") {
    await this.#connection.publish(`devices/${device}/${topic}`, payload);
  }

  /** Each device speaks once. */
  async speak() {
    const words = [...this.devices].map(([device, { values, offset_ms }]) => {
      const time = offset_ms === undefined ? {} : { ts: new Date(Date.now() + offset_ms).toISOString() };
      return this.say(device, JSON.stringify({ ...time, ...values }));
    });
    await Promise.all(words);
  }

  stop() {
    clearInterval(this.#timer);
    this.#connection?.close();
  }

  async #connect() {
    const { door, gate } = this.#service;
    this.#connection = await Connection.open(door, `gate-${Math.random().toString(36).slice(2)}`, gate);
  }

  // While the service is away nobody answers, as for a real device; the next turn tries again.
  async #turn() {
    if (this.#connecting) return;
    try {
      if (this.#connection?.isOpen !== true) {
        this.#connecting = true;
        await this.#connect().finally(() => (this.#connecting = false));
      }
      await this.speak();
    } catch {
      this.#connection?.close();
    }
  }
}
