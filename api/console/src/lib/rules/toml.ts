// The few things that a form needs to know of a rule's text: what simple keys say, and how to give one
// another value without touching the rest, comments included. The service reads TOML; this reads lines.

/** A key of the rule's own table. */
export interface Field {
  /** The value, unquoted; null where it is written in a way that only the text shows. */
  value: string | null;
  isQuoted: boolean;
  /** Its lines: the first, and one past the last; from 0. */
  from: number;
  to: number;
}

/** In which order keys are written, where one is added. */
const ORDER = [
  "name",
  "when",
  "clear",
  "for",
  "keep_firing_for",
  "severity",
  "select",
  "params",
  "no_data",
  "active",
  "time_zone",
  "latch",
  "summary",
];

const PAIR = /^\s*([A-Za-z0-9_-]+)\s*=\s*(.*)$/;
const BASIC = /^"((?:[^"\\]|\\.)*)"\s*(?:#.*)?$/;
const LITERAL = /^'([^']*)'\s*(?:#.*)?$/;
const PLAIN = /^([^\s"'[{#][^#]*?)\s*(?:#.*)?$/;
const DICT = /^(\{.*\})\s*(?:#.*)?$/;

function unescape(inside: string): string {
  const known: Record<string, string> = { n: "\n", t: "\t", '"': '"', "\\": "\\" };
  return inside.replace(/\\(.)/g, (all, char: string) => known[char] ?? all);
}

/** How many brackets a line leaves open, outside of texts. */
function opened(line: string): number {
  const bare = line.replace(/"(?:[^"\\]|\\.)*"|'[^']*'|#.*$/g, "");
  return (bare.match(/[[{]/g)?.length ?? 0) - (bare.match(/[\]}]/g)?.length ?? 0);
}

/** Where the value that begins at a line ends: one past its last line. */
function endOf(lines: string[], from: number, value: string): number {
  const quotes = /^("""|''')/.exec(value)?.[1];
  let to = from + 1;
  if (quotes !== undefined) {
    if (value.slice(3).includes(quotes)) return to;
    while (to < lines.length && !lines[to]!.includes(quotes)) to += 1;
    return Math.min(to + 1, lines.length);
  }
  let depth = opened(value);
  while (depth > 0 && to < lines.length) depth += opened(lines[to++]!);
  return to;
}

function read(value: string): { value: string | null; isQuoted: boolean } {
  const [basic, literal] = [BASIC.exec(value), LITERAL.exec(value)];
  if (basic !== null && !value.startsWith('"""')) return { value: unescape(basic[1]!), isQuoted: true };
  if (literal !== null && !value.startsWith("'''")) return { value: literal[1]!, isQuoted: true };
  const plain = DICT.exec(value) ?? PLAIN.exec(value);
  return { value: plain?.[1] ?? null, isQuoted: false };
}

/** Where the rule's own table ends: at the next head of a table. */
function ownEnd(lines: string[]): number {
  const head = lines.findIndex((line) => /^\s*\[\[rule\]\]/.test(line));
  const next = lines.findIndex((line, i) => i > head && /^\s*\[/.test(line));
  return next < 0 ? lines.length : next;
}

/** The keys of the rule's own table. */
export function fieldsOf(text: string): Map<string, Field> {
  const lines = text.split("\n");
  const fields = new Map<string, Field>();
  const end = ownEnd(lines);
  for (let i = 0; i < end; ) {
    const pair = PAIR.exec(lines[i]!);
    if (pair === null) {
      i += 1;
      continue;
    }
    const to = Math.min(endOf(lines, i, pair[2]!), lines.length);
    fields.set(pair[1]!, { ...(to > i + 1 ? { value: null, isQuoted: false } : read(pair[2]!)), from: i, to });
    i = to;
  }
  return fields;
}

/** A text as TOML takes it. */
export function quote(value: string): string {
  const escapes: Record<string, string> = { "\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t" };
  return `"${value.replace(/[\\"\n\t]/g, (char) => escapes[char]!)}"`;
}

/** The text with another value of a key, as it is written (`"2m"`, `true`); null takes the key away. */
export function withField(text: string, key: string, written: string | null): string {
  const lines = text.split("\n");
  const known = fieldsOf(text).get(key);
  if (known !== undefined) {
    const comment = known.to === known.from + 1 ? (/\s+#[^"']*$/.exec(lines[known.from]!)?.[0] ?? "") : "";
    const line = written === null ? [] : [`${key} = ${written}${comment}`];
    lines.splice(known.from, known.to - known.from, ...line);
    return lines.join("\n");
  }
  if (written === null) return text;
  lines.splice(placeOf(text, lines, key), 0, `${key} = ${written}`);
  return lines.join("\n");
}

/** Behind the last of the keys that usually stand before it. */
function placeOf(text: string, lines: string[], key: string): number {
  const before = ORDER.slice(0, Math.max(ORDER.indexOf(key), 0));
  const ends = [...fieldsOf(text)].filter(([name]) => before.includes(name)).map(([, { to }]) => to);
  const head = lines.findIndex((line) => /^\s*\[\[rule\]\]/.test(line));
  return Math.max(head + 1, ...ends);
}
