// Ending silences, and saying what was done with them.
import { client } from "../client";
import { toasts } from "../toasts.svelte";
import type { Silence } from "./silences";

/** Ends a silence now. */
export async function expire({ id, matchers }: Silence): Promise<void> {
  try {
    await client.send("delete", "/api/v1/silences/{id}", { path: { id } });
    toasts.tell(`Ended: ${matchers}`);
  } catch (error) {
    toasts.fail("The silence goes on", error);
  }
}

/** Says that one was made, and offers to end it. */
export function tellSilenced(silence: Silence): void {
  const what = silence.state === "pending" ? "Planned" : "Silenced";
  toasts.undo(`${what}: ${silence.matchers}`, () => void expire(silence));
}
