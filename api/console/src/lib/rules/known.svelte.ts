// What completion knows of: the language's words, as the engine has them, and the fleet's metrics and
// labels. Fetched once per page load; without them one writes all the same.
import { client } from "../client";
import type { Fleet, Words } from "./complete";

/** Devices that are looked at: enough to know what metrics and labels there are. */
const DEVICES_MAX = 300;
const AGAIN_MS = 60_000;

class Known {
  words = $state.raw<Words>({ functions: [], aggregates: [], keys: [], keywords: [] });
  fleet = $state.raw<Fleet>({ metrics: [], labels: new Map() });
  #at = Number.NEGATIVE_INFINITY;

  load(): void {
    if (performance.now() - this.#at < AGAIN_MS) return;
    this.#at = performance.now();
    const query = { limit: DEVICES_MAX };
    client.get("/api/v1/rule-words").then((words) => (this.words = words), () => (this.#at = Number.NEGATIVE_INFINITY));
    Promise.all([client.get("/api/v1/latest", { query }), client.get("/api/v1/devices", { query })]).then(
      ([{ latest }, { devices }]) => {
        const labels = new Map<string, Set<string>>([["device", new Set(devices.map(({ device }) => device))]]);
        for (const device of devices) {
          for (const [name, value] of Object.entries(device.labels)) {
            labels.set(name, (labels.get(name) ?? new Set()).add(String(value)));
          }
        }
        this.fleet = { metrics: [...new Set(latest.map(({ metric }) => metric))].sort(), labels };
      },
      () => undefined,
    );
  }
}

export const known = new Known();
