// The server's clock, as far as this page can know it: ages are counted by it, because an
// operator's machine may be minutes off.

/** Offsets below this do not matter to a reader, and a message's way takes time too. */
const OFFSET_MIN_MS = 2_000;

let offset_ms = 0;

/** Learns what the server's clock said a moment ago, at `now` by this machine's clock. */
export function learnOffset(server: number, now: number): void {
  const offset = server - now;
  offset_ms = Math.abs(offset) < OFFSET_MIN_MS ? 0 : offset;
}

/** Milliseconds since 1970 by the server's clock. */
export function serverNow(): number {
  return Date.now() + offset_ms;
}
