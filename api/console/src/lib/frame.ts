// Many changes, one redraw: work waits for the next animation frame. A hidden tab has none, so
// there it waits for a short timer, and the tab's title goes on counting.

/** How long a hidden tab gathers changes. */
const HIDDEN_MS = 250;

/** Returns a function that makes `draw` run soon, once, however often it is called. */
export function oncePerFrame(draw: () => void): () => void {
  let due = false;
  const run = (): void => {
    if (!due) return;
    due = false;
    draw();
  };
  document.addEventListener("visibilitychange", run);
  return () => {
    if (due) return;
    due = true;
    if (document.visibilityState === "visible") requestAnimationFrame(run);
    else setTimeout(run, HIDDEN_MS);
  };
}
