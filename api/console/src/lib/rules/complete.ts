// What may stand where the caret is: the words that the engine knows, the metrics and labels that the
// fleet has. Nothing here decides what is right: the service does.
import type { Schemas } from "../client";
import { EXPRESSIONS } from "./highlight";
import { fieldsOf } from "./toml";

export type Words = Schemas["RuleWords"];

/** What is known of the fleet. */
export interface Fleet {
  metrics: string[];
  /** Labels with their values. */
  labels: Map<string, Set<string>>;
}

export interface Item {
  label: string;
  /** What is put in, and where the caret is then, counted from its beginning. */
  insert: string;
  caret: number;
  /** What kind of thing it is, in a word. */
  kind: string;
  /** How it is written, and what it means. */
  usage: string;
  gives: string;
}

export interface Offer {
  /** What is replaced. */
  from: number;
  to: number;
  items: Item[];
}

const ITEMS_MAX = 40;
const DURATIONS = ["10s", "30s", "1m", "2m", "5m", "15m", "1h", "1d"];
const PLACES = ["device", "rule", "severity", "value", "metric:", "label:", "param:"];
const OF_TIME = /^(for|keep_firing_for|max_gap|no_data_after)$/;

function item(label: string, kind: string, usage = "", gives = "", insert = label, caret = insert.length): Item {
  return { label, kind, usage, gives, insert, caret };
}

/** Where the caret is: in which key's value, in which text. */
export interface Place {
  /** Null where a key is being written. */
  key: string | null;
  /** What of the value stands before the caret, without the mark that opens it; null outside of a text. */
  before: string | null;
  /** The caret's offset in its line. */
  column: number;
  line: string;
}

export function placeAt(text: string, caret: number): Place {
  const start = text.lastIndexOf("\n", caret - 1) + 1;
  const line = text.slice(start, (text.indexOf("\n", caret) + text.length + 1) % (text.length + 1));
  const head = text.slice(start, caret);
  const place = { column: caret - start, line };
  // The last key before the caret: `levels = { warning = "…", critical = "…" }` has several.
  let key: string | null = null;
  let before: string | null = null;
  const scan = /([A-Za-z0-9_-]+)\s*=(?!=)|"((?:[^"\\]|\\.)*)("|$)|'([^']*)('|$)|#.*/g;
  for (const [all, name, basic, basicEnd, literal, literalEnd] of head.matchAll(scan)) {
    before = null;
    if (all.startsWith("#")) return { key: "#", before: null, ...place };
    if (name !== undefined) key = name;
    else if (basicEnd === "" && basic !== undefined) before = basic;
    else if (literalEnd === "" && literal !== undefined) before = literal;
  }
  return { key, before, ...place };
}

/** The word that ends at the caret. */
function wordBefore(before: string): string {
  return /`[^`]*$|[\w.]*$/.exec(before)![0];
}

function named(metric: string): string {
  return /^[A-Za-z_][\w.]*$/.test(metric) ? metric : `\`${metric}\``;
}

function conditionItems(words: Words, fleet: Fleet, params: string[]): Item[] {
  return [
    ...params.map((name) => item(name, "parameter")),
    ...fleet.metrics.map((name) => item(name, "metric", "", "", named(name))),
    ...words.functions.map(({ name, usage, gives }) => item(name, "function", usage, gives, `${name}()`, name.length + 1)),
    ...words.aggregates.map(({ name, usage, gives }) =>
      item(`${name} by`, "of a group", usage, gives, `${name} by () ()`, name.length + 5),
    ),
    ...words.keywords.map((name) => item(name, "word")),
  ];
}

function selectOffer(before: string, fleet: Fleet, words: Words): [string, Item[]] {
  const open = /([\w.:-]+)\s*(?:=~?|!=|!~|==)\s*'([^']*)$/.exec(before);
  if (open !== null) {
    const values = fleet.labels.get(open[1]!) ?? [];
    return [open[2]!, [...values].sort().map((value) => item(value, `value of ${open[1]}`))];
  }
  const word = wordBefore(before);
  const labels = [...fleet.labels.keys()].sort();
  return [
    word,
    [
      ...labels.map((name) => item(name, "label", "", "", `${name} = ''`, name.length + 4)),
      ...words.keywords.filter((name) => /^(and|or|not)$/.test(name)).map((name) => item(name, "word")),
    ],
  ];
}

/** The values that a key's own explanation names: `` `keep`, `alert` or `resolve` ``. */
function valuesOf(gives: string): string[] {
  const list = /(?:`\w+`, )*`\w+` or `\w+`/.exec(gives)?.[0];
  return list === undefined ? [] : [...list.matchAll(/`(\w+)`/g)].map(([, value]) => value!);
}

function keyOffer(text: string, place: Place, words: Words): [string, Item[]] {
  const word = /[\w-]*$/.exec(place.line.slice(0, place.column))![0];
  const used = fieldsOf(text);
  const items = words.keys
    .filter(({ name }) => !used.has(name))
    .map(({ name, usage, gives }) => {
      const quoted = usage.indexOf('"');
      // The caret goes behind the example, where it is easily taken back.
      return item(name, "key", usage, gives, usage, quoted < 0 || !usage.endsWith('"') ? usage.length : usage.length - 1);
    });
  return [word, items];
}

function candidates(text: string, place: Place, words: Words, fleet: Fleet, asked: boolean): [string, Item[]] | null {
  const { key, before } = place;
  if (key === null) return /^\s*[\w-]*$/.test(place.line.slice(0, place.column)) ? keyOffer(text, place, words) : null;
  const spoken = words.keys.find(({ name }) => name === key);
  if (before === null) {
    const word = /[\w]*$/.exec(place.line.slice(0, place.column))![0];
    const isTruth = key === "latch" || key === "flapping";
    return isTruth ? [word, ["true", "false"].map((value) => item(value, "value"))] : null;
  }
  if (key === "select") return selectOffer(before, fleet, words);
  if (OF_TIME.test(key)) return [before, DURATIONS.map((value) => item(value, "duration"))];
  if (EXPRESSIONS.test(key)) {
    const number = /(?:^|[\s,(])(\d+)([a-z]*)$/.exec(before);
    if (number !== null) {
      // A limit is a number most of the time, a second argument a duration.
      if (!asked && !/\([^)]*,[^)]*$/.test(before)) return null;
      const units = ["s", "m", "h", "d", "w", "ms"].map((unit) => item(number[1]! + unit, "duration"));
      return [number[1]! + number[2]!, units];
    }
    const params = [...(fieldsOf(text).get("params")?.value ?? "").matchAll(/([\w-]+)\s*=/g)].map(([, name]) => name!);
    const group = /\bby\s*\(([^)]*)$/.exec(before);
    const labels = [...fleet.labels.keys()].sort().map((name) => item(name, "label"));
    return [wordBefore(before), group === null ? conditionItems(words, fleet, params) : labels];
  }
  if (key === "summary") {
    const open = /\{([\w:]*)$/.exec(before);
    return open === null ? null : [open[1]!, PLACES.map((name) => item(name, "place", "", "", name.endsWith(":") ? name : `${name}}`))];
  }
  const values = valuesOf(spoken?.gives ?? "");
  return values.length === 0 ? null : [before, values.map((value) => item(value, "value"))];
}

/** What may stand at the caret; null if there is nothing to offer. `asked`: also where nothing is written yet. */
export function completeAt(text: string, caret: number, words: Words, fleet: Fleet, asked: boolean): Offer | null {
  const found = candidates(text, placeAt(text, caret), words, fleet, asked);
  if (found === null) return null;
  const [word, all] = found;
  if (word === "" && !asked) return null;
  const typed = word.replace(/^`/, "").toLowerCase();
  const begins = all.filter(({ label }) => label.toLowerCase().startsWith(typed));
  const has = all.filter(({ label }) => !begins.some((it) => it.label === label) && label.toLowerCase().includes(typed));
  const items = [...begins, ...has].slice(0, ITEMS_MAX);
  // What is written whole already needs no offer: Enter is a new line again.
  const isDone = !asked && items.some(({ insert }) => insert === word);
  return items.length === 0 || isDone ? null : { from: caret - word.length, to: caret, items };
}

/** The function whose parentheses the caret is in: how it is called and what it gives. */
export function callAt(text: string, caret: number, words: Words): { usage: string; gives: string } | null {
  const { key, before } = placeAt(text, caret);
  if (key === null || before === null || !EXPRESSIONS.test(key)) return null;
  let depth = 0;
  for (let i = before.length - 1; i >= 0; i -= 1) {
    if (before[i] === ")") depth += 1;
    if (before[i] !== "(") continue;
    if (depth > 0) {
      depth -= 1;
      continue;
    }
    const head = before.slice(0, i);
    const group = /([A-Za-z_]\w*)\s+by\s*(?:\([^)]*\)\s*)?$/.exec(head)?.[1];
    const name = group ?? /([A-Za-z_]\w*)\s*$/.exec(head)?.[1];
    const list = group === undefined ? words.functions : words.aggregates;
    const found = list.find((word) => word.name === name);
    if (found !== undefined) return found;
  }
  return null;
}
