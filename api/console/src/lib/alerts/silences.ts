// Silences as the console writes them: how long, of what, and whether a form can be sent.
import type { Schemas } from "../client";
import { parseMatchers } from "../matchers";
import type { Alert } from "../words";
import { isLoud } from "../words";
import { fitting } from "./matching";

export type Silence = Schemas["Silence"];
export type NewSilence = Schemas["NewSilence"];

/** What a form about a length of time offers. */
export const LENGTHS = [
  { word: "30m", label: "30 m" },
  { word: "1h", label: "1 h" },
  { word: "2h", label: "2 h" },
  { word: "8h", label: "8 h" },
  { word: "1d", label: "1 d" },
  { word: "7d", label: "7 d" },
] as const;

const UNITS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `90m` in ms; null if it is no length. */
export function lengthOf(word: string): number | null {
  const [, count, unit] = /^(\d+)([smhd])$/.exec(word) ?? [];
  return count === undefined ? null : Number(count) * UNITS[unit as keyof typeof UNITS];
}

/** What is in the form. Instants are in ms; what was typed may be none. */
export interface Draft {
  matchers: string;
  reason: string;
  /** Null: from now on. */
  starts: number | null;
  /** A length as `2h`; empty: until `ends`. */
  length: string;
  ends: number;
  schedule: string;
  zone: string;
}

/** A form that is not filled in: for two hours from now. */
export function draftAt(now: number, zone: string): Draft {
  return { matchers: "", reason: "", starts: null, length: "2h", ends: now + 7_200_000, schedule: "", zone };
}

export type Faults = Partial<Record<keyof Draft, string>>;

/** What is wrong with a draft, field by field; `now` in ms. */
export function faultsOf(draft: Draft, now: number): Faults {
  const faults: Faults = {};
  const { matchers, wrong } = parseMatchers(draft.matchers);
  if (wrong !== null) faults.matchers = wrong.message;
  else if (matchers.length === 0) faults.matchers = "Without a matcher it would mute everything.";
  if (draft.reason.trim() === "") faults.reason = "Say why, for those who come after you.";
  const starts = draft.starts ?? now;
  if (Number.isNaN(starts)) faults.starts = "No such time.";
  if (draft.length === "") {
    if (Number.isNaN(draft.ends)) faults.ends = "When does it end?";
    else if (draft.ends <= Math.max(now, starts)) faults.ends = draft.starts === null ? "That is past." : "It would end before it begins.";
  }
  return faults;
}

/** What the service is sent. */
export function bodyOf(draft: Draft): NewSilence {
  const { starts } = draft;
  const ends =
    draft.length === ""
      ? { ends_at: new Date(draft.ends).toISOString() }
      : starts === null
        ? { for: draft.length }
        : { ends_at: new Date(starts + (lengthOf(draft.length) ?? 0)).toISOString() };
  return {
    matchers: draft.matchers.trim(),
    reason: draft.reason.trim(),
    ...(starts === null ? {} : { starts_at: new Date(starts).toISOString() }),
    ...ends,
    ...(draft.schedule.trim() === "" ? {} : { schedule: draft.schedule.trim(), time_zone: draft.zone }),
  };
}

/** The first of these silences that mutes an alert now. The service tells the one that ends last first. */
export function muting(alert: Alert, silences: readonly Silence[]): Silence | null {
  return silences.find((silence) => hiddenBy(silence, [alert]) > 0) ?? null;
}

/** How many of these alerts a silence mutes now; only those that have fired are. */
export function hiddenBy({ matchers, state }: Silence, alerts: readonly Alert[]): number {
  const read = parseMatchers(matchers);
  if (state !== "active" || read.wrong !== null) return 0;
  const fits = fitting(read.matchers);
  return alerts.filter((alert) => isLoud(alert.state) && fits(alert)).length;
}
