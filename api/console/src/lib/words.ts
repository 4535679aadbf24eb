// The words the console shares with the server: alerts, readings, devices, live frames.
// Times are milliseconds since 1970 as floats: the server's microseconds survive in the fraction.

export const SEVERITIES = ["critical", "warning", "info"] as const;
export type Severity = (typeof SEVERITIES)[number];

export const STATES = [
  "inactive",
  "pending",
  "firing",
  "recovering",
  "resolved",
  "no_data",
  "error",
] as const;
export type AlertState = (typeof STATES)[number];

/** One episode of a rule on a device, as it stands after its latest transition. */
export interface Alert {
  id: string;
  rule: string;
  device: string;
  severity: Severity;
  state: AlertState;
  since: number;
  fired_at: number | null;
  resolved_at: number | null;
  value: number | null;
  summary: string;
  acknowledged_by: string | null;
  silenced: boolean;
}

/** When a record passed each stage, by the server's clock. */
export interface StageTimes {
  received: number;
  durable: number;
  judged: number;
  sent: number;
}

export interface SnapshotFrame {
  type: "snapshot";
  cursor: string;
  alerts: Alert[];
}

export interface TransitionFrame {
  type: "transition";
  cursor: string;
  alert: Alert;
  times: StageTimes | null;
}

export interface ReadingFrame {
  type: "reading";
  device: string;
  reading: Reading;
}

export interface HeartbeatFrame {
  type: "heartbeat";
  /** The server's clock; null if it does not say. */
  at: number | null;
}

export type Frame = SnapshotFrame | TransitionFrame | ReadingFrame | HeartbeatFrame;

/** One value of one metric at one instant; short texts are values too. */
export interface Reading {
  metric: string;
  at: number;
  value: number | string;
}

/** The readings of one stretch of time, drawn as a line with a band. */
export interface Bucket {
  at: number;
  avg: number;
  min: number;
  max: number;
}

export interface Device {
  device: string;
  first_seen: number | null;
  last_seen: number | null;
  online: boolean | null;
  /** How far its clock is ahead of the service's; null if that is not known. */
  clock_skew_ms: number | null;
  labels: [string, string][];
}

export interface Rule {
  name: string;
  severity: Severity;
  when: string;
  for: string | null;
}

/** What became of one device's publishes, in publishes. */
export interface Ledger {
  received: number;
  stored: number;
  duplicate: number;
  quarantined: number;
  refused: number;
  readings: number;
  seq: { last: number | null; gaps: [number, number][]; resets: number };
}

/** Whether the episode is over. */
export function isOver(state: AlertState): boolean {
  return state === "inactive" || state === "resolved";
}

/** Whether an operator should act on it: it has fired, or cannot be judged. */
export function isLoud(state: AlertState): boolean {
  return !isOver(state) && state !== "pending";
}

/** How the service is: whether all of it works, and what does not. */
export interface Health {
  status: "ok" | "degraded" | "unavailable";
  faults: { name: string; detail: string }[];
}
