// What the page of alerts shows of them: filtered, ordered, in groups. No page and no clock in here.
import { compareAlerts, type Counts, countAlerts, kindOf } from "../feed";
import type { Matcher } from "../matchers";
import { type Alert, isLoud, isOver, mutedBy, type Severity, SEVERITIES } from "../words";
import { fitting, labelOf } from "./matching";

export const STATE_FILTERS = ["firing", "recovering", "pending", "no_data", "error", "latched"] as const;
export const MUTES = ["silenced", "inhibited", "snoozed"] as const;
export const SORTS = ["severity", "newest", "oldest", "device", "rule"] as const;
export type Mute = (typeof MUTES)[number];
export type Sort = (typeof SORTS)[number];

export interface AlertFilters {
  severity: Severity[];
  state: (typeof STATE_FILTERS)[number] | null;
  rule: string;
  /** Matchers as they are written. */
  labels: string;
  q: string;
  mine: boolean;
  unacked: boolean;
  /** What is muted and shown all the same. */
  show: Mute[];
  /** The label by which alerts are put together; empty: they are not. */
  group: string;
  sort: Sort;
}

/** Alerts that have a label in common. */
export interface Group {
  id: string;
  /** The value of the label; empty where they have none. */
  name: string;
  worst: Severity;
  alerts: Alert[];
  counts: Counts;
  n_unacked: number;
  isOpen: boolean;
}

/** A line between parts of the list. */
export interface Section {
  id: string;
  title: string;
}

export type Item = Alert | Group | Section;

export interface Arranged {
  items: Item[];
  /** The alerts that can be acted on, in their order. */
  alerts: Alert[];
  /** By severity, whichever are asked for. */
  tiles: Counts;
  /** Of the severities that are asked for: how many are muted, over, pending. */
  quiet: Counts;
  /** All labels that the alerts have, to group by. */
  labels: string[];
}

export const isAlert = (item: Item): item is Alert => "rule" in item;
export const isGroup = (item: Item): item is Group => "alerts" in item;

/** Whether somebody has to see to it who has not said so yet. */
export function isUnacked(alert: Alert): boolean {
  return alert.acknowledged_by === null && (isLoud(alert.state) || alert.latched);
}

function wordsOf(alert: Alert): string {
  const { device, rule, summary, acknowledged_by, assigned_to, labels } = alert;
  return [device, rule, summary, acknowledged_by ?? "", assigned_to ?? "", ...Object.values(labels)].join("\n").toLowerCase();
}

/** A test by all that does not count in tiles: rule, labels, text, and who has it. */
function narrow(filters: AlertFilters, matchers: readonly Matcher[], me: string | null): (alert: Alert) => boolean {
  const words = filters.q.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const fits = fitting(matchers);
  return (alert) => {
    if (filters.rule !== "" && alert.rule !== filters.rule) return false;
    if (filters.mine && alert.assigned_to !== me && alert.acknowledged_by !== me) return false;
    if (filters.unacked && !isUnacked(alert)) return false;
    if (!fits(alert)) return false;
    if (words.length === 0) return true;
    const text = wordsOf(alert);
    return words.every((word) => text.includes(word));
  };
}

function inState(alert: Alert, state: AlertFilters["state"]): boolean {
  if (state === null) return true;
  return state === "latched" ? alert.latched : alert.state === state;
}

/** Whether a filter leaves anything out, beside what is muted. */
export function isNarrowed(filters: AlertFilters): boolean {
  const { severity, state, rule, labels, q, mine, unacked } = filters;
  return severity.length > 0 || state !== null || rule !== "" || labels !== "" || q !== "" || mine || unacked;
}

/** A test for the alerts that the filters show, muted ones aside. */
export function wanting(filters: AlertFilters, matchers: readonly Matcher[], me: string | null): (alert: Alert) => boolean {
  const isIn = narrow(filters, matchers, me);
  const { severity, state } = filters;
  return (alert) => (severity.length === 0 || severity.includes(alert.severity)) && inState(alert, state) && isIn(alert);
}

const names = new Intl.Collator("en", { numeric: true });

const ORDERS: Record<Sort, (a: Alert, b: Alert) => number> = {
  // What is over comes behind what is not.
  severity: (a, b) => Number(isOver(a.state)) - Number(isOver(b.state)) || compareAlerts(a, b),
  newest: (a, b) => b.since - a.since,
  oldest: (a, b) => a.since - b.since,
  device: (a, b) => names.compare(a.device, b.device),
  rule: (a, b) => names.compare(a.rule, b.rule),
};

function worstOf(alerts: readonly Alert[]): Severity {
  return SEVERITIES.find((severity) => alerts.some((alert) => alert.severity === severity)) ?? "info";
}

/** Groups by a label, those with the worst alerts first, then the largest. */
function groupsOf(alerts: readonly Alert[], label: string, closed: ReadonlySet<string>): Group[] {
  const byName = new Map<string, Alert[]>();
  for (const alert of alerts) {
    const name = labelOf(alert, label);
    const known = byName.get(name);
    if (known === undefined) byName.set(name, [alert]);
    else known.push(alert);
  }
  const groups = [...byName].map(([name, of]): Group => {
    const id = `group ${label} ${name}`;
    return {
      id,
      name,
      worst: worstOf(of),
      alerts: of,
      counts: countAlerts(of),
      n_unacked: of.filter(isUnacked).length,
      isOpen: !closed.has(id),
    };
  });
  const rank = ({ worst }: Group): number => SEVERITIES.indexOf(worst);
  return groups.sort((a, b) => rank(a) - rank(b) || b.alerts.length - a.alerts.length || names.compare(a.name, b.name));
}

/** The names of all labels of the alerts. */
function labelsOf(alerts: readonly Alert[]): string[] {
  const found = new Set<string>();
  for (const { labels } of alerts) for (const name of Object.keys(labels)) found.add(name);
  return [...found].sort();
}

/** What the page shows. `closed` are the ids of groups whose alerts are not shown. */
export function arrange(
  active: readonly Alert[],
  ended: readonly Alert[],
  filters: AlertFilters,
  matchers: readonly Matcher[],
  me: string | null,
  closed: ReadonlySet<string>,
): Arranged {
  const isIn = narrow(filters, matchers, me);
  const { severity, state, show } = filters;
  const isBad = (alert: Alert): boolean => severity.length === 0 || severity.includes(alert.severity);
  const near = active.filter(isIn);
  const bad = near.filter(isBad);
  const isShown = (alert: Alert): boolean => {
    const mute = kindOf(alert) === "latched" || kindOf(alert) === "pending" ? null : mutedBy(alert);
    return mute === null || show.includes(mute);
  };
  const alerts = bad.filter((alert) => inState(alert, state) && isShown(alert)).sort(ORDERS[filters.sort]);
  const over = state === null && !filters.unacked ? ended.filter((alert) => isBad(alert) && isIn(alert)) : [];

  const items: Item[] = [];
  let ordered = alerts;
  if (filters.group !== "") {
    const groups = groupsOf(alerts, filters.group, closed);
    for (const group of groups) items.push(group, ...(group.isOpen ? group.alerts : []));
    ordered = groups.flatMap((group) => group.alerts);
  } else if (filters.sort === "severity") {
    const first = alerts.findIndex((alert) => alert.latched);
    const now = first < 0 ? alerts : alerts.slice(0, first);
    items.push(...now);
    if (first >= 0) items.push({ id: "latched", title: "Over, and nobody has acknowledged it" }, ...alerts.slice(first));
  } else {
    items.push(...alerts);
  }
  if (over.length > 0) items.push({ id: "ended", title: "Just ended" }, ...over);
  return { items, alerts: ordered, tiles: countAlerts(near), quiet: countAlerts(bad), labels: labelsOf(active) };
}
