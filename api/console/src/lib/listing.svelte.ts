// A list that comes in pages, newest first, and is asked for again while its first page is all that is
// shown: what is read further down stays where it is.
import { poll } from "./poll";

export interface Part<T> {
  rows: T[];
  next: string | null;
}

export class Listing<T> {
  /** Null before the first answer. */
  rows = $state.raw<T[] | null>(null);
  next = $state<string | null>(null);
  failure = $state.raw<unknown>(null);
  loading = $state(false);
  #turn = $state(0);
  readonly #ask: (cursor: string | undefined, signal?: AbortSignal) => Promise<Part<T>>;

  constructor(ask: (cursor: string | undefined, signal?: AbortSignal) => Promise<Part<T>>) {
    this.#ask = ask;
  }

  /** Asks until the returned function is called; for an effect, which another `again` starts anew. */
  poll(every_ms: number): () => void {
    void this.#turn;
    let isFirst = true;
    let n_first = 0;
    return poll(
      async (signal) => {
        if (!isFirst && (this.rows?.length ?? 0) > n_first) return;
        const { rows, next } = await this.#ask(undefined, signal);
        [this.rows, this.next, this.failure, isFirst, n_first] = [rows, next, null, false, rows.length];
      },
      () => every_ms,
      (error) => (this.failure = error),
    );
  }

  /** Asks anew, from the first page. */
  again = (): void => void (this.#turn += 1);

  /** Adds the next page. */
  more = async (): Promise<void> => {
    if (this.next === null) return;
    this.loading = true;
    try {
      const { rows, next } = await this.#ask(this.next);
      [this.rows, this.next] = [[...(this.rows ?? []), ...rows], next];
    } catch (error) {
      this.failure = error;
    }
    this.loading = false;
  };
}
