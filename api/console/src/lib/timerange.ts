// A stretch of time: the last so long, or from one instant to another; in the address as `24h` or
// as two instants with `..` between.
import type { Codec } from "./query";

export type Range = { last_ms: number } | { from: number; to: number };

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export const PRESETS: readonly { label: string; word: string; last_ms: number }[] = [
  { label: "15 m", word: "15m", last_ms: 15 * MINUTE },
  { label: "1 h", word: "1h", last_ms: HOUR },
  { label: "6 h", word: "6h", last_ms: 6 * HOUR },
  { label: "24 h", word: "24h", last_ms: DAY },
  { label: "7 d", word: "7d", last_ms: 7 * DAY },
  { label: "30 d", word: "30d", last_ms: 30 * DAY },
];

/** The instants that a range means at `now`. */
export function spanOf(range: Range, now: number): { from: number; to: number } {
  return "last_ms" in range ? { from: now - range.last_ms, to: now } : range;
}

function write(range: Range): string | null {
  if ("last_ms" in range) return PRESETS.find(({ last_ms }) => last_ms === range.last_ms)?.word ?? null;
  return `${new Date(range.from).toISOString()}..${new Date(range.to).toISOString()}`;
}

function read(text: string): Range | null {
  const preset = PRESETS.find(({ word }) => word === text);
  if (preset !== undefined) return { last_ms: preset.last_ms };
  const [from, to] = text.split("..").map((part) => Date.parse(part));
  return from === undefined || to === undefined || !(from < to) ? null : { from, to };
}

/** A range as a filter of a page: `router.filters({ range: range("24h") })`. */
export function range(fallback: string): Codec<Range> {
  return {
    read: (text) => read(text ?? fallback) ?? read(fallback) ?? { last_ms: DAY },
    write: (value) => {
      const written = write(value);
      return written === fallback ? null : written;
    },
  };
}

const walls = new Map<string | undefined, Intl.DateTimeFormat>();

/** How far the clocks of a time zone are ahead of UTC at an instant, in ms; undefined: this machine's zone. */
export function offsetAt(at: number, timeZone: string | undefined): number {
  const whole = Math.floor(at / 1000) * 1000;
  let wall = walls.get(timeZone);
  if (wall === undefined) {
    wall = new Intl.DateTimeFormat("sv-SE", { timeZone, dateStyle: "short", timeStyle: "medium" });
    walls.set(timeZone, wall);
  }
  const shown = wall.format(whole);
  return Date.parse(`${shown.replace(" ", "T")}Z`) - whole;
}

/** What `<input type="datetime-local">` shows for an instant, in a time zone; undefined: this machine's. */
export function toInput(at: number, timeZone: string | undefined): string {
  return new Date(at + offsetAt(at, timeZone)).toISOString().slice(0, 16);
}

/** The instant that such an input means there. An hour that the clocks leave out is the one after it. */
export function fromInput(text: string, timeZone: string | undefined): number {
  const wall = Date.parse(`${text}Z`);
  if (Number.isNaN(wall)) return wall;
  // The first offset may be that of the other side of a change of clocks.
  return wall - offsetAt(wall - offsetAt(wall, timeZone), timeZone);
}
