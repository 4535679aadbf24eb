// Tests of a rule: where they are kept, and what one begins with. They are the reader's own, in this browser.
import { namesIn } from "../alerts/condition";
import { type Bound, boundsOf } from "./threshold";
import { fieldsOf, quote } from "./toml";

const key = (rule: string): string => `bellwire.tests.${rule}`;

/** The tests of this rule that were last run here. */
export function kept(rule: string): string {
  try {
    return localStorage.getItem(key(rule)) ?? "";
  } catch {
    return "";
  }
}

/** Keeps them; without a storage that may be written to, until the page is left. */
export function keep(rule: string, tests: string): void {
  try {
    if (tests.trim() === "") localStorage.removeItem(key(rule));
    else localStorage.setItem(key(rule), tests);
  } catch {
    // Nothing depends on it.
  }
}

const EVERY_S = 10;
const BEFORE = 3;

/** All lengths of time in a text, together, in seconds: `2m`, `avg(t, 5m)`. */
function secondsIn(text: string): number {
  const units: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3_600, d: 86_400 };
  const lengths = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhd])(?![a-z])/g)];
  return lengths.reduce((sum, [, count, unit]) => sum + Number(count) * units[unit!]!, 0);
}

/** `90` as `1m30s`. */
function written(seconds: number): string {
  const [minutes, rest] = [Math.floor(seconds / 60), seconds % 60];
  return `${minutes > 0 ? `${minutes}m` : ""}${rest > 0 || minutes === 0 ? `${rest}s` : ""}`;
}

/** A device that a selection takes: its name and labels. Of a pattern the first that it names. */
function deviceIn(select: string): { device: string; set: string } {
  const pairs = [...select.matchAll(/([\w-]+)\s*=(~?)\s*'([^']*)'/g)].map(([, name, pattern, value]): [string, string] => [
    name!,
    pattern === "" ? value! : value!.replace(/\(([^|)]*)[^)]*\)/g, "$1").replace(/[\^$]|\|.*/g, "").replace(/(?:\\d|\[.*?\]|\.)[*+]?/g, "1"),
  ]);
  const { device = "device-1", ...labels } = Object.fromEntries(pairs);
  return { device, set: Object.entries(labels).map(([name, value]) => `${name} = ${quote(value)}`).join(", ") };
}

/** What is read before the limit is passed, and `n` times after it. */
function seriesOf({ isAbove, limit, isRate }: Bound, n: number): string {
  const step = Number(Math.max(1, Math.abs(limit) / 10).toPrecision(2));
  const short = (value: number): number => Number(value.toPrecision(6));
  const sign = isAbove ? 1 : -1;
  // What is judged by its changes rises, or falls, without an end.
  if (isRate) return `0x${BEFORE} 0${isAbove ? "+" : "-"}${short(EVERY_S * (Math.abs(limit) + step))}x${n}`;
  return `${short(limit - sign * step)}x${BEFORE} ${short(limit + sign * step)}x${n}`;
}

/** A test to begin with, of the rule that the text has now: its metrics are well, then past their limits until it is to
 *  fire. */
export function beginning(toml: string): string {
  const fields = fieldsOf(toml);
  const value = (key: string): string => fields.get(key)?.value ?? "";
  const when = value("when") || value("levels");
  const n = Math.ceil(secondsIn(`${value("for")} ${when}`) / EVERY_S);
  const { device, set } = deviceIn(value("select"));
  const isAbsent = when.includes("absent(");
  const series = boundsOf(toml).map((bound): [string, string] => [bound.metric, seriesOf(bound, n + 1)]);
  if (series.length === 0) series.push([namesIn(when)[0] ?? "temperature", `0x${BEFORE}${isAbsent ? "" : ` 1x${n + 1}`}`]);
  const lines = series.map(([name, values]) => `${/^[\w.-]+$/.test(name) ? name : quote(name)} = "${values}"`);
  return `[[test]]
name = "it fires"
${set === "" ? "" : `\n[[test.labels]]\ndevice = "${device}"\nset = { ${set} }\n`}
[[test.input]]           # a payload every ${EVERY_S} s: ${BEFORE} are well, then ${isAbsent ? "nothing comes" : "the limit is passed"}
device = "${device}"
every = "${EVERY_S}s"
${lines.join("\n")}

[[test.expect]]
at = "${written((BEFORE + n) * EVERY_S)}"
rule = ${quote(value("name"))}
device = "${device}"
state = "firing"
`;
}

/** Where in a text a line begins, from 1. */
export function offsetOf(text: string, line: number): number {
  return text.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
}
