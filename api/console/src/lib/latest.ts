// The latest values of the devices on the screen, from history and from the live feed.
import type { Reading } from "./words";

/** The most devices whose values are remembered; the least recently touched leave first. */
export const DEVICES_MAX = 500;

export class LatestValues {
  readonly #devices = new Map<string, Map<string, Reading>>();

  /** Takes readings of one device, keeping the newest of each metric. */
  put(device: string, readings: Iterable<Reading>): void {
    const metrics = this.#devices.get(device) ?? new Map<string, Reading>();
    for (const reading of readings) {
      const known = metrics.get(reading.metric);
      if (known === undefined || known.at <= reading.at) metrics.set(reading.metric, { ...reading, unit: reading.unit ?? known?.unit });
    }
    this.#devices.delete(device);
    this.#devices.set(device, metrics);
    for (const oldest of this.#devices.keys()) {
      if (this.#devices.size <= DEVICES_MAX) break;
      this.#devices.delete(oldest);
    }
  }

  /** The latest readings of one device by metric; null if we never heard of it. */
  of(device: string): Reading[] | null {
    const metrics = this.#devices.get(device);
    if (metrics === undefined) return null;
    return [...metrics.values()].sort((a, b) => (a.metric < b.metric ? -1 : 1));
  }
}
