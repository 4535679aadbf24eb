// Which rows of a long list are worth rendering.

/** The rows a virtual list renders: those in view and a few around them. */
export function rowsInView(
  scrollTop: number,
  height: number,
  rowHeight: number,
  n_rows: number,
): { start: number; end: number } {
  const around = 8;
  const start = Math.max(0, Math.floor(scrollTop / rowHeight) - around);
  return { start, end: Math.min(n_rows, Math.ceil((scrollTop + height) / rowHeight) + around) };
}
