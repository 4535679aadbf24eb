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
  acknowledged_at: number | null;
  assigned_to: string | null;
  snoozed_until: number | null;
  /** Over, and nobody has acknowledged it. */
  latched: boolean;
  silenced: boolean;
  inhibited: boolean;
  /** How often it was escalated. */
  escalation: number;
  /** Those of the device, or of the group. */
  labels: Readonly<Record<string, string>>;
}

/** When a record passed each stage, by the server's clock. */
export interface StageTimes {
  received: number;
  durable: number;
  judged: number;
  sent: number;
}

/** One entry of an alert's timeline: a transition of its rule, or a step that somebody did. */
export interface AlertEvent {
  cursor: string;
  at: number;
  alert: Alert;
  from: AlertState | null;
  to: AlertState | null;
  /** `acknowledged`, `commented` …; null for a transition. */
  step: string | null;
  /** Who did it; null: the service. */
  by: string | null;
  /** What was said to it. */
  text: string | null;
  reason: string;
  correction: string | null;
  historical: boolean;
  /** What is known of its way; of what is history the middle stages are not. */
  times: { [stage in keyof StageTimes]: number | null };
}

/** Somebody who looks at the live feed. */
export interface Operator {
  name: string;
  since: number;
  /** Over how many connections; with none he has just left. */
  n: number;
}

export interface SnapshotFrame {
  type: "snapshot";
  cursor: string;
  alerts: Alert[];
}

export interface TransitionFrame {
  /** A step is something that was done with an alert, within its state. */
  type: "transition" | "step";
  cursor: string;
  alert: Alert;
  times: StageTimes | null;
  /** The same for a timeline; null where it is not told whole. */
  event: AlertEvent | null;
}

/** Of an alert that is not of those that this page may see any more. */
export interface GoneFrame {
  type: "gone";
  cursor: string;
  id: string;
}

export interface OperatorsFrame {
  type: "operators";
  here: Operator[];
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

export type Frame = SnapshotFrame | TransitionFrame | GoneFrame | OperatorsFrame | ReadingFrame | HeartbeatFrame;

/** One value of one metric at one instant; short texts are values too. */
export interface Reading {
  metric: string;
  at: number;
  value: number | string;
  /** Where payloads say it. */
  unit?: string | undefined;
}

/** The readings of one stretch of time, drawn as a line with a band. */
export interface Bucket {
  at: number;
  avg: number;
  min: number;
  max: number;
  /** Of how many readings; absent: of one. */
  n?: number;
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

/** Why an alert that is there calls nobody now; null: it does. */
export function mutedBy(alert: Alert): "silenced" | "inhibited" | "snoozed" | null {
  if (alert.silenced) return "silenced";
  if (alert.inhibited) return "inhibited";
  return alert.snoozed_until === null ? null : "snoozed";
}

/** How the service is: whether all of it works, and what does not. */
export interface Health {
  status: "ok" | "degraded" | "unavailable";
  faults: { name: string; detail: string }[];
}
