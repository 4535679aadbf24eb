// What became of many alerts with which something was to be done, in words.
import type { Schemas } from "../client";
import { plural } from "../format";

export type Outcome = Schemas["AlertOutcome"];
export type Action = Schemas["AlertAction"]["action"];

/** What has become of an alert with which it was done. */
export const DONE: Record<Action, string> = {
  ack: "acknowledged",
  unack: "unacknowledged",
  assign: "assigned",
  comment: "commented",
  snooze: "snoozed",
  unsnooze: "no longer snoozed",
};

const WHY: Record<Exclude<Outcome["outcome"], "done">, string> = {
  not_open: "not there any more",
  pending: "not fired yet",
  already_acknowledged: "acknowledged already",
  not_acknowledged: "not acknowledged",
  changed: "changed since you saw it: look again",
  not_snoozed: "not snoozed",
  too_late: "too late",
  over: "over",
};

/** What became of many, in one sentence: `3 alerts acknowledged; 2 acknowledged already, by bo`. */
export function tellOutcomes(action: Action, outcomes: readonly Outcome[], to?: string | null): string {
  const n_done = outcomes.filter(({ outcome }) => outcome === "done").length;
  const word = action === "assign" ? (to == null ? "assigned to nobody" : `assigned to ${to}`) : DONE[action];
  const parts = n_done > 0 || outcomes.length === 0 ? [`${plural(n_done, "alert")} ${word}`] : [];
  for (const [kind, words] of Object.entries(WHY)) {
    const of = outcomes.filter(({ outcome }) => outcome === kind);
    if (of.length === 0) continue;
    const names = kind === "already_acknowledged" ? by(of) : "";
    parts.push(`${of.length} ${words}${names}`);
  }
  return parts.join("; ");
}

/** Who has them. */
function by(outcomes: readonly Outcome[]): string {
  const names = new Set(outcomes.map(({ alert }) => (alert as { acknowledged_by?: string | null } | null)?.acknowledged_by).filter((name) => name != null));
  return names.size === 0 ? "" : `, by ${[...names].join(", ")}`;
}
