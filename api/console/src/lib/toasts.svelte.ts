// Short messages at the edge of the page: done, with a way back, or failed.
import { ApiError, messageOf } from "./client";

export interface Toast {
  id: number;
  kind: "done" | "failed";
  text: string;
  /** The request that failed. */
  requestId: string | null;
  /** Takes it back. */
  undo: (() => void) | null;
}

/** How long it stays; one with a way back stays longer. Under pointer or focus it stays. */
const STAYS_MS = 6_000;
const UNDO_STAYS_MS = 10_000;
/** More at once would hide the page: the oldest goes. */
const TOASTS_MAX = 4;

class Toasts {
  list = $state.raw<Toast[]>([]);
  #next = 0;
  #timers = new Map<number, ReturnType<typeof setTimeout>>();

  /** Says that something is done. */
  tell(text: string): void {
    this.#show({ kind: "done", text, requestId: null, undo: null });
  }

  /** The same, and offers to take it back. */
  undo(text: string, undo: () => void): void {
    this.#show({ kind: "done", text, requestId: null, undo });
  }

  /** Says that something failed: `fail("The alert is not acknowledged", error)`. */
  fail(what: string, error: unknown): void {
    const requestId = error instanceof ApiError ? error.requestId : null;
    this.#show({ kind: "failed", text: `${what}: ${messageOf(error)}`, requestId, undo: null });
  }

  dismiss(id: number): void {
    this.hold(id);
    this.list = this.list.filter((toast) => toast.id !== id);
  }

  /** It is being read: it stays. */
  hold(id: number): void {
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
  }

  /** It goes after its time. */
  release({ id, undo }: Toast): void {
    this.hold(id);
    this.#timers.set(id, setTimeout(() => this.dismiss(id), undo === null ? STAYS_MS : UNDO_STAYS_MS));
  }

  #show(said: Omit<Toast, "id">): void {
    const toast = { id: this.#next++, ...said };
    for (const { id } of this.list.slice(0, Math.max(0, this.list.length + 1 - TOASTS_MAX))) this.dismiss(id);
    this.list = [...this.list, toast];
    this.release(toast);
  }
}

export const toasts = new Toasts();
