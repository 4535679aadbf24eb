// Ages, times and values as operators read them.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `12 s`, `4 m 05 s`, `3 h 20 m`, `2 d 4 h`. A time ahead of ours counts as now. */
export function formatAge(age_ms: number): string {
  const ms = Math.max(0, age_ms);
  const two = (n: number): string => String(Math.floor(n)).padStart(2, "0");
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)} s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} m ${two((ms % MINUTE) / SECOND)} s`;
  if (ms < DAY) return `${Math.floor(ms / HOUR)} h ${two((ms % HOUR) / MINUTE)} m`;
  return `${Math.floor(ms / DAY)} d ${Math.floor((ms % DAY) / HOUR)} h`;
}

/** What a device's clock may be off without a word about it. */
export const SKEW_MAX_MS = 5 * SECOND;

/** `clock 1 m 30 s ahead`, `clock 2 h 00 m behind`; null where there is nothing to say. */
export function formatSkew(skew_ms: number | null): string | null {
  if (skew_ms === null || Math.abs(skew_ms) <= SKEW_MAX_MS) return null;
  return `clock ${formatAge(Math.abs(skew_ms))} ${skew_ms > 0 ? "ahead" : "behind"}`;
}

/** How times are written in one time zone; undefined is this machine's. */
function clockOf(timeZone: string | undefined) {
  return {
    time: new Intl.DateTimeFormat("en-GB", { timeStyle: "medium", timeZone }),
    day: new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone }),
    date: new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeZone }),
    name: new Intl.DateTimeFormat("en-GB", { timeZone, timeZoneName: "short" }),
  };
}

let clock = clockOf(undefined);

/** From now on times are shown in this time zone; undefined is this machine's. */
export function setTimeZone(timeZone: string | undefined): void {
  clock = clockOf(timeZone);
}

/** `14:03:22` today, `3 Feb 14:03:22` on other days; in the time zone that is set. */
export function formatTime(at: number, now: number): string {
  const time = clock.time.format(at);
  return clock.date.format(at) === clock.date.format(now) ? time : `${clock.day.format(at)} ${time}`;
}

/** `3 Feb 2026, 14:03:22 CET`: for where there is room. */
export function formatFull(at: number): string {
  const zone = clock.name.formatToParts(at).find(({ type }) => type === "timeZoneName")?.value ?? "";
  return `${clock.date.format(at)}, ${clock.time.format(at)} ${zone}`;
}

/** The whole instant, for a tooltip: `2026-02-03T14:03:22.125Z`. */
export function formatInstant(at: number | null): string {
  return at === null || !Number.isFinite(new Date(at).getTime()) ? "" : new Date(at).toISOString();
}

const plain = new Intl.NumberFormat("en", { maximumSignificantDigits: 6, useGrouping: false });
const scientific = new Intl.NumberFormat("en", {
  notation: "scientific",
  maximumSignificantDigits: 4,
});

/** Six digits at most; very large and very small numbers as `1.5E9`. Text stays as it is. */
export function formatValue(value: number | string | null): string {
  if (value === null) return "–";
  if (typeof value === "string") return value;
  const size = Math.abs(value);
  return size !== 0 && (size >= 1e9 || size < 1e-4)
    ? scientific.format(value)
    : plain.format(value);
}

const grouped = new Intl.NumberFormat("en");

/** `12,345`: for counts. */
export function formatCount(n: number): string {
  return grouped.format(n);
}

/** `0.42 ms`, `3.1 ms`, `120 ms`, `2.4 s`. */
export function formatMillis(ms: number): string {
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms.toFixed(ms < 1 ? 2 : ms < 10 ? 1 : 0)} ms`;
}

/** `1 device`, `3 devices`. */
export function plural(n: number, word: string): string {
  return `${formatCount(n)} ${word}${n === 1 ? "" : "s"}`;
}
