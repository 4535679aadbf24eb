// What the live frames have told us: the alerts of the present and those that just ended.
// No I/O and no clock in here; time is an argument.
import type { Alert, AlertEvent, Operator, Severity, SnapshotFrame, TransitionFrame } from "./words";
import { isLoud, isOver, mutedBy, SEVERITIES } from "./words";

/** How long an alert that ended stays on the page: an operator sees what just happened. */
export const ENDED_KEEP_MS = 15 * 60_000;
/** The most ended alerts kept: the oldest leave first. */
export const ENDED_MAX = 100;
/** Over how many transitions the time from publish to send is taken. */
const PATHS_MAX = 50;
/** The last things that somebody did with alerts. */
const ACTS_MAX = 8;

export interface Ended {
  alert: Alert;
  /** When it leaves the page. */
  until: number;
}

/** Those that call somebody by their severity, and those that do not by why. */
export type Counts = Record<Severity | "pending" | "latched" | "silenced" | "inhibited" | "snoozed", number>;

export interface DeviceAlerts {
  worst: Severity;
  count: number;
}

export class Feed {
  /** Where to resume; null before the first snapshot. */
  cursor: string | null = null;
  /** Alerts that are not over, by id. */
  readonly alerts = new Map<string, Alert>();
  /** Alerts that ended a short while ago, by id, the latest last. */
  readonly ended = new Map<string, Ended>();
  /** Counts the changes: a reader that has seen this one has seen all. */
  version = 0;
  /** Who else looks at the feed. */
  operators: Operator[] = [];
  /** What somebody did with alerts, the latest first. */
  acts: AlertEvent[] = [];
  readonly #paths: number[] = [];

  /** The present replaces whatever we believed. */
  snapshot(frame: SnapshotFrame, now: number): void {
    this.cursor = frame.cursor;
    this.version += 1;
    this.alerts.clear();
    for (const alert of frame.alerts) this.#place(alert, now);
  }

  /** One step of one alert. Returns true if it became critical and loud with it. */
  transition(frame: TransitionFrame, now: number): boolean {
    this.cursor = frame.cursor;
    this.version += 1;
    const before = this.alerts.get(frame.alert.id);
    this.#place(frame.alert, now);
    const { event } = frame;
    const isNew = event !== null && event.step !== null && event.by !== null && !this.acts.some(({ cursor }) => cursor === event.cursor);
    if (isNew) this.acts = [event, ...this.acts].slice(0, ACTS_MAX);
    if (frame.times !== null) {
      this.#paths.push(frame.times.sent - frame.times.received);
      if (this.#paths.length > PATHS_MAX) this.#paths.shift();
    }
    return isAlarm(frame.alert) && !(before !== undefined && isAlarm(before));
  }

  /** This page may not see the alert any more. */
  gone(id: string, cursor: string): void {
    this.cursor = cursor;
    this.version += 1;
    this.alerts.delete(id);
    this.ended.delete(id);
  }

  /** Who looks at the feed now. */
  present(operators: Operator[]): void {
    this.operators = operators;
    this.version += 1;
  }

  /** Alerts that ended before this page was there, from the history. */
  past(alerts: Alert[], now: number): void {
    const byEnd = [...alerts].sort((a, b) => (a.resolved_at ?? 0) - (b.resolved_at ?? 0));
    for (const alert of byEnd) {
      const until = (alert.resolved_at ?? 0) + ENDED_KEEP_MS;
      const known = this.alerts.has(alert.id) || this.ended.has(alert.id);
      if (known || !isOver(alert.state) || until <= now) continue;
      this.ended.set(alert.id, { alert, until });
      this.version += 1;
    }
    this.#trim(now);
  }

  /** Lets go of alerts that ended long ago. */
  expire(now: number): void {
    const before = this.ended.size;
    this.#trim(now);
    if (this.ended.size !== before) this.version += 1;
  }

  /** The median time from receiving a publish to sending its alert, in ms, and of how many. */
  path(): { median_ms: number; n: number } | null {
    const sorted = [...this.#paths].sort((a, b) => a - b);
    const median_ms = sorted[Math.floor(sorted.length / 2)];
    return median_ms === undefined ? null : { median_ms, n: sorted.length };
  }

  #place(alert: Alert, now: number): void {
    if (!isOver(alert.state) || alert.latched) {
      this.ended.delete(alert.id);
      this.alerts.set(alert.id, alert);
      return;
    }
    this.alerts.delete(alert.id);
    // What never fired ends without a trace: `pending → inactive` is not news.
    if (alert.fired_at === null && alert.state === "inactive") return;
    this.ended.delete(alert.id);
    this.ended.set(alert.id, { alert, until: now + ENDED_KEEP_MS });
    this.#trim(now);
  }

  #trim(now: number): void {
    for (const [id, ended] of this.ended) {
      if (ended.until <= now || this.ended.size > ENDED_MAX) this.ended.delete(id);
    }
  }
}

function isAlarm(alert: Alert): boolean {
  return alert.severity === "critical" && isLoud(alert.state) && mutedBy(alert) === null;
}

/** Worst first, then the newest; the id makes the order total. */
export function compareAlerts(a: Alert, b: Alert): number {
  return (
    SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity) ||
    b.since - a.since ||
    (a.id < b.id ? -1 : Number(a.id > b.id))
  );
}

/** What ended last comes first. */
export function compareEnded(a: Alert, b: Alert): number {
  return (b.resolved_at ?? b.since) - (a.resolved_at ?? a.since) || (a.id < b.id ? -1 : 1);
}

/** Under what an alert is counted. What is muted counts as that, not by how bad it is. */
export function kindOf(alert: Alert): keyof Counts {
  if (isOver(alert.state)) return "latched";
  if (alert.state === "pending") return "pending";
  return mutedBy(alert) ?? alert.severity;
}

export function countAlerts(alerts: Iterable<Alert>): Counts {
  const counts: Counts = { critical: 0, warning: 0, info: 0, pending: 0, latched: 0, silenced: 0, inhibited: 0, snoozed: 0 };
  for (const alert of alerts) counts[kindOf(alert)] += 1;
  return counts;
}

/** The loud alerts of each device: how many, and the worst. */
export function alertsByDevice(alerts: Iterable<Alert>): Map<string, DeviceAlerts> {
  const devices = new Map<string, DeviceAlerts>();
  for (const { device, severity, state } of alerts) {
    if (!isLoud(state)) continue;
    const known = devices.get(device);
    if (known === undefined) {
      devices.set(device, { worst: severity, count: 1 });
    } else {
      known.count += 1;
      if (SEVERITIES.indexOf(severity) < SEVERITIES.indexOf(known.worst)) known.worst = severity;
    }
  }
  return devices;
}
