// Asks again and again, one question at a time, and not while nobody looks.

/**
 * Runs `work` at once and then `every_ms()` after it has ended, until the returned function is
 * called, which also aborts what is under way. A failure goes to `failed`; the next turn comes.
 */
export function poll(
  work: (signal: AbortSignal) => Promise<void>,
  every_ms: () => number,
  failed: (error: unknown) => void,
): () => void {
  const controller = new AbortController();
  const { signal } = controller;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const turn = async (): Promise<void> => {
    if (!document.hidden) {
      try {
        await work(signal);
      } catch (error) {
        if (!signal.aborted) failed(error);
      }
    }
    if (!signal.aborted) timer = setTimeout(() => void turn(), every_ms());
  };
  void turn();
  return () => {
    controller.abort();
    clearTimeout(timer);
  };
}
