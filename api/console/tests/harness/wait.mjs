// Waiting for a state, never for an amount of time.
const PATIENCE_MS = 60_000;
const TURN_MS = 50;

/** Waits until `done` gives something, and gives that. */
export async function until(what, done) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const value = await done();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${PATIENCE_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, TURN_MS));
  }
}
