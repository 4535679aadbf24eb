// The server's clock, as far as this page can know it: ages are counted by it, because an
// operator's machine may be minutes off.

/** Offsets below this are noise: the `Date` header counts whole seconds. */
const OFFSET_MIN_MS = 2_000;

let offset_ms = 0;

/** Learns from the `Date` header of a response that left after `before` and came at `after`. */
export function learnOffset(date: string | null, before: number, after: number): void {
  const server = date === null ? Number.NaN : Date.parse(date);
  if (Number.isNaN(server)) return;
  const offset = server + 500 - (before + after) / 2;
  offset_ms = Math.abs(offset) < OFFSET_MIN_MS ? 0 : offset;
}

/** Milliseconds since 1970 by the server's clock. */
export function serverNow(): number {
  return Date.now() + offset_ms;
}
