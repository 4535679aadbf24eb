// Tests of a rule: where they are kept, and what one begins with. They are the reader's own, in this browser.
import { fieldsOf } from "./toml";

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

/** A test to begin with: the first metric of the condition goes far up, and the rule is expected to fire. */
export function beginning(rule: string, toml: string): string {
  const metric = /[a-z_][\w.]*(?![\w.(])/i.exec(fieldsOf(toml).get("when")?.value ?? "")?.[0] ?? "temperature";
  return `[[test]]
name = "it fires"

[[test.input]]           # a payload every 10 s: three times 0, then 1000
device = "device-1"
every = "10s"
${metric} = "0x3 1000x30"

[[test.expect]]
at = "5m"
rule = "${rule}"
device = "device-1"
state = "firing"
`;
}

/** Where in a text a line begins, from 1. */
export function offsetOf(text: string, line: number): number {
  return text.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
}
