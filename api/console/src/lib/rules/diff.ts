// The difference of two texts, line by line: the longest common run of lines stays, the rest goes or comes.

export interface Row {
  kind: "same" | "gone" | "new";
  text: string;
  /** The line's number on each side, from 1; null where it is not there. */
  left: number | null;
  right: number | null;
}

/** More lines than this on either side are not compared one by one: n × m steps. */
const LINES_MAX = 2_000;

function linesOf(text: string): string[] {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

/** The lines of both texts in order. */
export function diffLines(before: string, after: string): Row[] {
  const [a, b] = [linesOf(before), linesOf(after)];
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a.at(-1 - tail) === b.at(-1 - tail)) tail += 1;
  const rows: Row[] = [];
  let [i, j] = [0, 0];
  const same = (): void => void rows.push({ kind: "same", text: a[i]!, left: ++i, right: ++j });
  const gone = (): void => void rows.push({ kind: "gone", text: a[i]!, left: ++i, right: null });
  const come = (): void => void rows.push({ kind: "new", text: b[j]!, left: null, right: ++j });
  while (i < head) same();
  const [n, m] = [a.length - head - tail, b.length - head - tail];
  if (n <= LINES_MAX && m <= LINES_MAX) {
    // lengths[x][y]: the longest common run of what is left after x and y lines.
    const lengths = Array.from({ length: n + 1 }, () => new Uint16Array(m + 1));
    for (let x = n - 1; x >= 0; x -= 1) {
      for (let y = m - 1; y >= 0; y -= 1) {
        const isSame = a[head + x] === b[head + y];
        lengths[x]![y] = isSame ? lengths[x + 1]![y + 1]! + 1 : Math.max(lengths[x + 1]![y]!, lengths[x]![y + 1]!);
      }
    }
    while (i - head < n && j - head < m) {
      const [x, y] = [i - head, j - head];
      if (a[i] === b[j]) same();
      else if (lengths[x + 1]![y]! >= lengths[x]![y + 1]!) gone();
      else come();
    }
  }
  while (i < a.length - tail) gone();
  while (j < b.length - tail) come();
  while (i < a.length) same();
  return rows;
}

/** Both sides of one line: what goes stands beside what comes in its place. */
export interface Pair {
  left: Row | null;
  right: Row | null;
}

export function sideBySide(rows: Row[]): Pair[] {
  const pairs: Pair[] = [];
  let [gone, come]: [Row[], Row[]] = [[], []];
  const flush = (): void => {
    const n = Math.max(gone.length, come.length);
    for (let i = 0; i < n; i += 1) pairs.push({ left: gone[i] ?? null, right: come[i] ?? null });
    [gone, come] = [[], []];
  };
  for (const row of rows) {
    if (row.kind === "gone") gone.push(row);
    else if (row.kind === "new") come.push(row);
    else {
      flush();
      pairs.push({ left: row, right: row });
    }
  }
  flush();
  return pairs;
}

/** How many lines come and go. */
export function countOf(rows: Row[]): { n_new: number; n_gone: number } {
  const n = (kind: Row["kind"]): number => rows.filter((row) => row.kind === kind).length;
  return { n_new: n("new"), n_gone: n("gone") };
}
