// The axes of a chart: which values and which instants have a line, and what stands beside it.
import { offsetAt } from "./timerange";

/** Room above and below; a constant value gets a scale too. */
export function padded(low: number, high: number): [number, number] {
  if (low > high) return [0, 1];
  const room = (high - low) * 0.08 || Math.abs(high) * 0.05 || 1;
  return [low - room, high + room];
}

export interface Tick {
  at: number;
  label: string;
}

/** Round values between `low` and `high`, at most about `most`. */
export function valueTicks(low: number, high: number, most: number): Tick[] {
  const least = (high - low) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(least));
  const step = power * ([1, 2, 5].find((times) => times * power >= least) ?? 10);
  const size = Math.max(Math.abs(low), Math.abs(high));
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const write = (value: number): string => {
    if (size >= 1e7 || (size < 1e-3 && size > 0)) return value === 0 ? "0" : value.toExponential(1).replace("e+", "e");
    // Without a minus before zero.
    return (Math.round(value / step) * step + 0).toFixed(Math.min(digits, 12));
  };
  const ticks: Tick[] = [];
  for (let i = Math.ceil(low / step); i * step <= high && ticks.length < 50; i += 1) {
    ticks.push({ at: i * step, label: write(i * step) });
  }
  return ticks;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [
  ...[1, 2, 5, 10, 15, 30].map((n) => n * 1_000),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 6, 12].map((n) => n * HOUR),
  ...[1, 2, 7, 14, 30, 90, 365].map((n) => n * DAY),
];

function formatsOf(timeZone: string | undefined) {
  const write = (options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat("en-GB", { ...options, timeZone });
  return {
    day: write({ day: "numeric", month: "short" }),
    minute: write({ hour: "2-digit", minute: "2-digit" }),
    second: write({ timeStyle: "medium" }),
  };
}
const formats = new Map<string | undefined, ReturnType<typeof formatsOf>>();

/** Round instants on the clocks of a time zone, at most `most`; where a day begins, its name stands. */
export function timeTicks(from: number, to: number, most: number, timeZone: string | undefined): Tick[] {
  const step = STEPS.find((it) => (to - from) / it <= most) ?? 365 * DAY;
  const known = formats.get(timeZone) ?? formatsOf(timeZone);
  formats.set(timeZone, known);
  const ticks: Tick[] = [];
  let before: string | null = null;
  const first = Math.ceil((from + offsetAt(from, timeZone)) / step);
  for (let i = first; ticks.length < 50; i += 1) {
    // By the clocks of that instant: they may have been changed since `from`.
    const at = i * step - offsetAt(i * step - offsetAt(from, timeZone), timeZone);
    if (at > to) break;
    if (at < from) continue;
    const day = known.day.format(at);
    const isNew = step >= DAY || (step >= MINUTE && before !== null && before !== day);
    ticks.push({ at, label: isNew ? day : (step >= MINUTE ? known.minute : known.second).format(at) });
    before = day;
  }
  return ticks;
}
