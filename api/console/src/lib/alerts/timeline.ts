// The entries of an alert's timeline in words, and put together from what was fetched and what came
// live.
import { formatTime } from "../format";
import type { AlertEvent } from "../words";

const STEPS: Record<string, string> = {
  acknowledged: "acknowledged it",
  unacknowledged: "unacknowledged it",
  ack_dropped: "It got worse: the acknowledgement no longer counts",
  unassigned: "assigned it to nobody",
  commented: "commented",
  inhibited: "Inhibited by a worse alert",
  uninhibited: "No longer inhibited",
  escalated: "Escalated: nobody acknowledged it in time",
  latched: "Over, and stays until somebody acknowledges it",
};

const STATES: Record<string, string> = {
  inactive: "Not so after all",
  pending: "Pending",
  firing: "Firing",
  recovering: "Recovering",
  resolved: "Resolved",
  no_data: "No data",
  error: "Cannot be judged",
};

/** What happened; of what somebody did, what stands behind his name. */
export function titleOf({ step, to, by, at, alert }: AlertEvent): string {
  if (step === null) return STATES[to ?? ""] ?? "Changed";
  switch (step) {
    case "assigned":
      return by === alert.assigned_to ? "took it" : `assigned it to ${alert.assigned_to ?? "somebody"}`;
    case "snoozed":
      return alert.snoozed_until === null ? "snoozed it" : `snoozed it until ${formatTime(alert.snoozed_until, at)}`;
    case "snooze_ended":
      return by === null ? "The snooze is over" : "ended the snooze";
    case "silenced":
      return by === null ? "Silenced" : "silenced it";
    case "unsilenced":
      return by === null ? "No longer silenced" : "unsilenced it";
    case "unlatched":
      return by === null ? "No longer waits for somebody to acknowledge it" : "acknowledged it";
    default:
      return STEPS[step] ?? step.replaceAll("_", " ");
  }
}

/** What was said to it. Of an assignment the service says before it to whom. */
export function textOf({ step, text, alert }: AlertEvent): string {
  const said = text ?? "";
  const to = step === "assigned" ? `to ${alert.assigned_to ?? ""}` : "";
  if (to === "" || !said.startsWith(to)) return said;
  return said.slice(to.length).replace(/^: /, "");
}

/** How long each stage of its way took, as far as that is known. */
export function wayOf({ times, step }: AlertEvent): { stage: string; ms: number }[] {
  if (step !== null) return [];
  const { received, durable, judged, sent } = times;
  const stages = [
    { stage: "on disk", from: received, to: durable },
    { stage: "judged", from: durable, to: judged },
    { stage: "sent", from: judged, to: sent },
  ];
  return stages.flatMap(({ stage, from, to }) => (from === null || to === null ? [] : [{ stage, ms: Math.max(0, to - from) }]));
}

/** One timeline of two: what is in both is there once, with what is known of its way. */
export function merged(fetched: readonly AlertEvent[], live: readonly AlertEvent[]): AlertEvent[] {
  const heard = new Map(live.map((event) => [event.cursor, event]));
  const both = fetched.map((event) => heard.get(event.cursor) ?? event);
  const known = new Set(fetched.map(({ cursor }) => cursor));
  return [...both, ...live.filter(({ cursor }) => !known.has(cursor))];
}
