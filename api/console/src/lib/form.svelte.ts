// What is sent by a form: that it is on its way, and what the service says against it.
import { ApiError, messageOf } from "./client";

export class Form {
  busy = $state(false);
  failure = $state.raw<unknown>(null);
  /** The codes that stand beside a field of their own. */
  readonly #placed: readonly string[];

  constructor(placed: readonly string[] = []) {
    this.#placed = placed;
  }

  get #code(): string {
    return (this.failure instanceof ApiError ? this.failure.code : null) ?? "";
  }

  /** What is said under the field of these codes. */
  of(...codes: string[]): string | null {
    return codes.includes(this.#code) ? messageOf(this.failure) : null;
  }

  /** What is said of the whole. */
  get wrong(): string | null {
    return this.failure === null || this.#placed.includes(this.#code) ? null : messageOf(this.failure);
  }

  /** Does it, once at a time. */
  async run(work: () => Promise<void>): Promise<void> {
    this.busy = true;
    this.failure = null;
    try {
      await work();
    } catch (error) {
      this.failure = error;
    }
    this.busy = false;
  }

  /** The same for a form's `onsubmit`. */
  submit = (work: () => Promise<void>) => (event: SubmitEvent) => {
    event.preventDefault();
    void this.run(work);
  };
}
