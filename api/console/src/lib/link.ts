// The life of the connection, without a socket and without a clock: when to connect, when to give
// up on a silent one, how long to wait, and whether what the page shows is stale.

/** No frame for so long and the connection counts as dead: two heartbeats missed, and a bit. */
export const SILENCE_MAX_MS = 12_000;
/** How long a new connection may take to be live, or be silent on its way there. */
export const CONNECT_MAX_MS = 10_000;
/** Lost for so long, and the page greys. Shorter losses (a server's restart) do not flicker. */
export const STALE_AFTER_MS = 1_000;
/** The wait before the first retry; it doubles with each. */
const WAIT_MIN_MS = 500;
const WAIT_MAX_MS = 15_000;
/** A connection that lasted so long was a good one: the next wait is short again. */
const GOOD_AFTER_MS = 5_000;

export type Phase = "connecting" | "open" | "waiting";
export type Action = "connect" | "abort" | null;

export class Link {
  phase: Phase = "waiting";
  /** When the next attempt is due, while waiting. */
  retryAt: number;
  /** When the last frame came. */
  lastFrameAt: number | null = null;
  /** Since when the connection has been gone; null while it is there. */
  lostAt: number | null = null;
  #attempts = 0;
  #changedAt: number;

  constructor(now: number) {
    this.retryAt = now;
    this.#changedAt = now;
  }

  connecting(now: number): void {
    this.phase = "connecting";
    this.#changedAt = now;
  }

  /** The server has told everything that this page had missed. */
  opened(now: number): void {
    this.phase = "open";
    this.lostAt = null;
    this.lastFrameAt = now;
    this.#changedAt = now;
  }

  frame(now: number): void {
    this.lastFrameAt = now;
  }

  /** The connection is gone. `random` in 0..1 spreads the retries of many operators. */
  closed(now: number, random: number): void {
    if (this.phase === "waiting") return;
    if (this.phase === "open" && now - this.#changedAt >= GOOD_AFTER_MS) this.#attempts = 0;
    if (this.phase === "open") {
      const silent = now - (this.lastFrameAt ?? now) >= SILENCE_MAX_MS;
      this.lostAt = silent ? this.lastFrameAt : now;
    }
    const wait = Math.min(WAIT_MAX_MS, WAIT_MIN_MS * 2 ** this.#attempts);
    this.#attempts += 1;
    this.phase = "waiting";
    this.#changedAt = now;
    this.retryAt = now + wait * (0.5 + 0.5 * random);
  }

  /** Somebody asked for it, or the network is back: do not wait any longer. */
  hurry(now: number): void {
    // A connection that is found dead a moment later does not wait long either.
    this.#attempts = 0;
    if (this.phase === "waiting") this.retryAt = now;
  }

  /** What is due now. */
  tick(now: number): Action {
    // A clock that was set back must not prolong a wait.
    this.#changedAt = Math.min(this.#changedAt, now);
    this.lastFrameAt = this.lastFrameAt === null ? null : Math.min(this.lastFrameAt, now);
    this.retryAt = Math.min(this.retryAt, now + WAIT_MAX_MS);
    switch (this.phase) {
      case "waiting":
        return now >= this.retryAt ? "connect" : null;
      case "connecting":
        return now - Math.max(this.#changedAt, this.lastFrameAt ?? 0) >= CONNECT_MAX_MS
          ? "abort"
          : null;
      case "open":
        return now - (this.lastFrameAt ?? now) >= SILENCE_MAX_MS ? "abort" : null;
    }
  }

  /** Whether what the page shows may no longer be true. */
  stale(now: number): boolean {
    return this.lostAt !== null && now - this.lostAt >= STALE_AFTER_MS;
  }
}
