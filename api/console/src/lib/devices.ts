// The list of devices: filtered and ordered, for ten thousand of them at sixty frames a second.
import type { DeviceAlerts } from "./feed";
import type { Device } from "./words";
import { SEVERITIES } from "./words";

export const ORDERS = ["alerts", "name", "seen"] as const;
export type Order = (typeof ORDERS)[number];

/** A device with what is searched for, made once. */
export interface Entry extends Device {
  haystack: string;
}

const names = new Intl.Collator("en", { numeric: true });

/** The devices by name, `freezer-2` before `freezer-10`, ready to be searched. */
export function entries(devices: Device[]): Entry[] {
  return devices
    .map((device) => ({
      ...device,
      haystack: [device.device, ...device.labels.map(([key, value]) => `${key}=${value}`)]
        .join(" ")
        .toLowerCase(),
    }))
    .sort((a, b) => names.compare(a.device, b.device));
}

/** Those that have every word of the filter in their name or labels. */
export function filterEntries(list: Entry[], filter: string): Entry[] {
  const words = filter.toLowerCase().split(/\s+/).filter((word) => word !== "");
  return words.length === 0
    ? list
    : list.filter((entry) => words.every((word) => entry.haystack.includes(word)));
}

/** In the wanted order; equal ones stay in the order of their names. */
export function orderEntries(
  list: Entry[],
  order: Order,
  alerts: ReadonlyMap<string, DeviceAlerts>,
): Entry[] {
  switch (order) {
    case "name":
      return list;
    case "seen":
      return list.toSorted((a, b) => (b.last_seen ?? 0) - (a.last_seen ?? 0));
    case "alerts": {
      const groups: Entry[][] = [...SEVERITIES.map(() => []), []];
      for (const entry of list) {
        const worst = alerts.get(entry.device)?.worst;
        const group = worst === undefined ? SEVERITIES.length : SEVERITIES.indexOf(worst);
        groups[group]?.push(entry);
      }
      return groups.flat();
    }
  }
}
