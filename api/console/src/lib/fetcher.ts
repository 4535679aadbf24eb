// Fetches something for each of the devices in view, a few at a time: scrolling through ten
// thousand devices asks only for those at which the reader stops.

/** How many requests are under way at once. */
export const AT_ONCE_MAX = 4;
/** What is older is fetched again when it comes into view. */
export const FRESH_MS = 60_000;

export class Fetcher {
  readonly #fetch: (device: string) => Promise<void>;
  readonly #now: () => number;
  readonly #fetchedAt = new Map<string, number>();
  #wanted: string[] = [];
  #n_running = 0;

  constructor(fetch: (device: string) => Promise<void>, now: () => number) {
    this.#fetch = fetch;
    this.#now = now;
  }

  /** The devices in view; whatever was wanted before and is not begun is dropped. */
  want(devices: string[]): void {
    const old = this.#now() - FRESH_MS;
    this.#wanted = devices.filter((device) => (this.#fetchedAt.get(device) ?? -Infinity) < old);
    this.#next();
  }

  /** Everything may have changed: what is in view next is fetched anew. */
  forget(): void {
    this.#fetchedAt.clear();
  }

  #next(): void {
    while (this.#n_running < AT_ONCE_MAX) {
      const device = this.#wanted.shift();
      if (device === undefined) return;
      this.#n_running += 1;
      this.#fetchedAt.set(device, this.#now());
      // A failure is not news here: the live feed brings values, and the next look asks again.
      void this.#fetch(device)
        .catch(() => this.#fetchedAt.delete(device))
        .finally(() => {
          this.#n_running -= 1;
          this.#next();
        });
    }
  }
}
