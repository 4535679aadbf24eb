// Doing something with alerts: one request for up to a thousand, what became of each told in one
// sentence, and a way back where there is one.
import { app } from "../app.svelte";
import { client, type Schemas } from "../client";
import { toasts } from "../toasts.svelte";
import { type Alert, isOver } from "../words";
import { type Action, DONE, type Outcome, tellOutcomes } from "./outcomes";

export type { Action };

type Body = Schemas["AlertAction"];

/** What an action takes beside the alerts. */
export type Details = Pick<Body, "comment" | "for" | "until" | "to">;

/** The most that the service takes at once. */
const AT_ONCE_MAX = 1_000;

async function send(action: Action, ids: readonly string[], details: Details, seen: string | null): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (let at = 0; at < ids.length; at += AT_ONCE_MAX) {
    const alerts = ids.slice(at, at + AT_ONCE_MAX);
    const body: Body = { action, alerts, ...details, ...(seen === null ? {} : { seen }) };
    outcomes.push(...(await client.send("post", "/api/v1/alerts/actions", { body })).data.outcomes);
  }
  return outcomes;
}

/** Takes an action back, for those with which it was done. */
function undoOf(action: Action, done: readonly Alert[]): (() => void) | null {
  // Of what is over nothing can be taken back.
  const ids = done.filter(({ state }) => !isOver(state)).map(({ id }) => id);
  if (ids.length === 0) return null;
  switch (action) {
    case "ack":
      return () => void act("unack", ids);
    case "snooze":
      return () => void act("unsnooze", ids);
    case "assign":
      return () => {
        const before = new Map<string | null, string[]>();
        for (const { id, assigned_to } of done) before.set(assigned_to, [...(before.get(assigned_to) ?? []), id]);
        for (const [to, of] of before) void act("assign", of, { to });
      };
    default:
      return null;
  }
}

/**
 * Does something with alerts and tells what became of it. `alerts` as they are seen now make a way
 * back; ids alone do not. Gives whether it was done with any.
 */
export async function act(action: Action, alerts: readonly (Alert | string)[], details: Details = {}): Promise<boolean> {
  const ids = alerts.map((alert) => (typeof alert === "string" ? alert : alert.id));
  if (ids.length === 0) return false;
  try {
    // Nobody takes what he has not seen.
    const outcomes = await send(action, ids, details, action === "ack" ? app.cursor : null);
    const good = new Set(outcomes.filter(({ outcome }) => outcome === "done").map(({ id }) => id));
    const text = tellOutcomes(action, outcomes, details.to);
    const done = alerts.filter((alert): alert is Alert => typeof alert !== "string" && good.has(alert.id));
    const undo = done.length === 0 ? null : undoOf(action, done);
    if (good.size === 0) toasts.fail("Nothing was done", new Error(text));
    else if (undo === null) toasts.tell(text);
    else toasts.undo(text, undo);
    return good.size > 0;
  } catch (error) {
    toasts.fail(`Not ${DONE[action]}`, error);
    return false;
  }
}
