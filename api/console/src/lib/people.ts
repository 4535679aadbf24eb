// What the pages about people work out without a page.
import type { Schemas } from "./client";

/** When each user signed in last, in ms since 1970: from sessions that go on and from the audit log. */
export function lastSignIns(
  sessions: readonly Pick<Schemas["Session"], "user" | "created_at">[],
  lines: readonly Pick<Schemas["AuditLine"], "target" | "at" | "outcome">[],
): Map<string, number> {
  const last = new Map<string, number>();
  const note = (user: string, at: number): void => void last.set(user, Math.max(at, last.get(user) ?? 0));
  for (const { user, created_at } of sessions) note(user, Date.parse(created_at));
  for (const { target, at, outcome } of lines) if (outcome === "done") note(target, Date.parse(at));
  return last;
}

/** One thing that differs between two values of JSON: where, and both sides as text. */
export interface Difference {
  path: string;
  before: string | null;
  after: string | null;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function written(value: unknown): string | null {
  if (value === undefined || value === null) return null;
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** What differs between two values, member by member; what is the same is left out. */
export function differences(before: unknown, after: unknown, path = ""): Difference[] {
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  if (!isObject(before ?? {}) || !isObject(after ?? {})) {
    return [{ path: path === "" ? "value" : path, before: written(before), after: written(after) }];
  }
  const [one, other] = [(before ?? {}) as Record<string, unknown>, (after ?? {}) as Record<string, unknown>];
  const names = new Set([...Object.keys(one), ...Object.keys(other)]);
  return [...names].flatMap((name) => differences(one[name], other[name], path === "" ? name : `${path}.${name}`));
}
