// The list of devices: filtered, ordered and grouped, for ten thousand of them at sixty frames a second.
import type { DeviceAlerts } from "./feed";
import type { Matcher } from "./matchers";
import type { Codec } from "./query";
import type { Alert, Device, Severity } from "./words";
import { isLoud, SEVERITIES } from "./words";

export const ORDERS = ["alerts", "name", "presence", "seen", "clock"] as const;
/** What the list is ordered by: one of the usual, or the latest value of a metric. */
export type Order = (typeof ORDERS)[number] | `m:${string}`;

export interface Sort {
  by: Order;
  /** Against the usual direction. */
  down: boolean;
}

/** The order in the address: `seen`, `-seen`, `m:temperature`. */
export const sorting: Codec<Sort> = {
  read: (text) => {
    const down = text?.startsWith("-") === true;
    const word = (text ?? "").slice(down ? 1 : 0);
    const by = word.startsWith("m:") ? (word as Order) : (ORDERS.find((it) => it === word) ?? "alerts");
    return { by, down };
  },
  write: ({ by, down }) => (by === "alerts" && !down ? null : `${down ? "-" : ""}${by}`),
};

/** A device with what is searched for, made once. */
export interface Entry extends Device {
  haystack: string;
}

const names = new Intl.Collator("en", { numeric: true });

function haystackOf({ device, labels }: Device): string {
  return [device, ...labels.map(([key, value]) => `${key}=${value}`)].join(" ").toLowerCase();
}

/** The devices by name, `freezer-2` before `freezer-10`, ready to be searched. */
export function entries(devices: Device[]): Entry[] {
  return mergeEntries([], devices);
}

/**
 * The same where a list was known before: ten thousand names are not put in order again if they are
 * the same ones, and what a device said meanwhile is not forgotten.
 */
export function mergeEntries(before: Entry[], devices: Device[]): Entry[] {
  const known = new Map(before.map((entry) => [entry.device, entry]));
  const fresh = new Map<string, Entry>();
  let isSame = before.length === devices.length;
  for (const device of devices) {
    const old = known.get(device.device);
    isSame &&= old !== undefined;
    const last_seen = Math.max(old?.last_seen ?? 0, device.last_seen ?? 0) || null;
    const sameLabels =
      old?.labels.length === device.labels.length &&
      old.labels.every(([key, value], i) => key === device.labels[i]?.[0] && value === device.labels[i]?.[1]);
    const kept = sameLabels ? { labels: old.labels, haystack: old.haystack } : { haystack: haystackOf(device) };
    fresh.set(device.device, { ...device, last_seen, ...kept });
  }
  if (isSame && fresh.size === before.length) return before.map((entry) => fresh.get(entry.device) ?? entry);
  return [...fresh.values()].sort((a, b) => names.compare(a.device, b.device));
}

export function labelOf({ device, labels }: Device, name: string): string {
  return name === "device" ? device : (labels.find(([key]) => key === name)?.[1] ?? "");
}

/** Those that have every word of the filter in their name or labels. */
export function filterEntries(list: Entry[], filter: string): Entry[] {
  const words = filter.toLowerCase().split(/\s+/).filter((word) => word !== "");
  return words.length === 0
    ? list
    : list.filter((entry) => words.every((word) => entry.haystack.includes(word)));
}

/** Those whose labels fit, as Alertmanager understands it: a pattern means the whole, an absent label is empty. */
export function matchEntries(list: Entry[], matchers: Matcher[]): Entry[] {
  const tests = matchers.map(({ name, op, value }) => {
    const pattern = op.endsWith("~") ? new RegExp(`^(?:${value})$`, "u") : null;
    const wanted = !op.startsWith("!");
    return (entry: Entry): boolean => {
      const label = labelOf(entry, name);
      return (pattern === null ? label === value : pattern.test(label)) === wanted;
    };
  });
  return tests.length === 0 ? list : list.filter((entry) => tests.every((test) => test(entry)));
}

export const PRESENCES = ["online", "offline"] as const;
export const WITH_ALERTS = [...SEVERITIES, "any", "none"] as const;

/** What else a list may be narrowed to. */
export interface Narrow {
  presence: (typeof PRESENCES)[number] | null;
  /** Devices with open alerts of this severity, with any, or with none. */
  alerts: (typeof WITH_ALERTS)[number] | null;
}

export function narrowEntries(list: Entry[], { presence, alerts }: Narrow, counts: ReadonlyMap<string, Counts>): Entry[] {
  return list.filter((entry) => {
    if (presence !== null && entry.online !== (presence === "online")) return false;
    const open = counts.get(entry.device);
    if (alerts === null) return true;
    return alerts === "any" || alerts === "none" ? (open !== undefined) === (alerts === "any") : (open?.[alerts] ?? 0) > 0;
  });
}

export type Counts = Record<Severity, number>;

/** The loud alerts of each device by severity; those without are not in it. */
export function countsByDevice(alerts: Iterable<Alert>): Map<string, Counts> {
  const counts = new Map<string, Counts>();
  for (const { device, severity, state } of alerts) {
    if (!isLoud(state)) continue;
    let known = counts.get(device);
    if (known === undefined) counts.set(device, (known = { critical: 0, warning: 0, info: 0 }));
    known[severity] += 1;
  }
  return counts;
}

export function worstOf(counts: Counts | undefined): Severity | null {
  return counts === undefined ? null : (SEVERITIES.find((severity) => counts[severity] > 0) ?? null);
}

/** In the wanted order; equal ones stay in the order of their names, and what has no value is last. */
export function orderEntries(
  list: Entry[],
  order: Order,
  alerts: ReadonlyMap<string, Pick<DeviceAlerts, "worst">>,
  { down = false, values }: { down?: boolean; values?: ReadonlyMap<string, number> | null } = {},
): Entry[] {
  if (order === "alerts") {
    const groups: Entry[][] = [...SEVERITIES.map(() => []), []];
    for (const entry of list) {
      const worst = alerts.get(entry.device)?.worst;
      groups[worst === undefined ? SEVERITIES.length : SEVERITIES.indexOf(worst)]?.push(entry);
    }
    return (down ? groups.reverse() : groups).flat();
  }
  if (order === "name") return down ? list.toReversed() : list;
  const rank = (entry: Entry): number | null => {
    if (order === "presence") return entry.online === null ? null : Number(entry.online);
    if (order === "seen") return entry.last_seen === null ? null : -entry.last_seen;
    if (order === "clock") return entry.clock_skew_ms === null ? null : -Math.abs(entry.clock_skew_ms);
    const value = values?.get(entry.device);
    return value === undefined ? null : -value;
  };
  const ranked = list.map((entry) => ({ entry, rank: rank(entry) }));
  const sign = down ? -1 : 1;
  return ranked
    .sort((a, b) => (a.rank === null || b.rank === null ? Number(a.rank === null) - Number(b.rank === null) : sign * (a.rank - b.rank)))
    .map(({ entry }) => entry);
}

/** A row of the list: a device, or the head of a group. */
export type Row =
  | { key: string; entry: Entry }
  | { key: string; entry: null; value: string; n: number; n_online: number; worst: Severity | null; closed: boolean };

/** The rows of a list, gathered by the values of a label if there is one; devices without it are last. */
export function rowsOf(
  list: Entry[],
  label: string,
  counts: ReadonlyMap<string, Counts>,
  closed: ReadonlySet<string>,
): Row[] {
  const row = (entry: Entry): Row => ({ key: `d${entry.device}`, entry });
  if (label === "") return list.map(row);
  const groups = new Map<string, Entry[]>();
  for (const entry of list) {
    const value = labelOf(entry, label);
    const group = groups.get(value);
    if (group === undefined) groups.set(value, [entry]);
    else group.push(entry);
  }
  const sorted = [...groups].sort(([a], [b]) => Number(a === "") - Number(b === "") || names.compare(a, b));
  return sorted.flatMap(([value, group]): Row[] => {
    const worst = SEVERITIES.find((severity) => group.some(({ device }) => (counts.get(device)?.[severity] ?? 0) > 0));
    const n_online = group.filter(({ online }) => online === true).length;
    const isClosed = closed.has(value);
    const head = { key: `g${value}`, entry: null, value, n: group.length, n_online, worst: worst ?? null, closed: isClosed };
    return isClosed ? [head] : [head, ...group.map(row)];
  });
}

/** The names of labels that devices have, the most frequent first; at most `most`. */
export function labelNames(list: Entry[], most = 40): string[] {
  const counts = new Map<string, number>();
  for (const { labels } of list) for (const [name] of labels) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1] || names.compare(a[0], b[0])).slice(0, most).map(([name]) => name);
}

/** The values of one label, in order; at most `most`. */
export function labelValues(list: Entry[], name: string, most = 100): string[] {
  const values = new Set(list.map((entry) => labelOf(entry, name)));
  values.delete("");
  return [...values].sort(names.compare).slice(0, most);
}
