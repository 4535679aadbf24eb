// Whether matchers fit an alert, as the service judges it: a label that is not there is the empty
// text, and a pattern is of the whole value. For what is counted and filtered on the page; what a
// silence mutes the service says itself.
import type { Matcher } from "../matchers";
import type { Alert } from "../words";

/** A label of an alert; rule, device and severity are labels too. */
export function labelOf(alert: Alert, name: string): string {
  switch (name) {
    case "rule":
    case "alertname":
      return alert.rule;
    case "device":
      return alert.device;
    case "severity":
      return alert.severity;
    default:
      return Object.hasOwn(alert.labels, name) ? (alert.labels[name] ?? "") : "";
  }
}

function testOf({ op, value }: Matcher): (text: string) => boolean {
  if (op === "=") return (text) => text === value;
  if (op === "!=") return (text) => text !== value;
  let pattern: RegExp;
  try {
    pattern = new RegExp(`^(?:${value})$`, "su");
  } catch {
    // Nothing is known to fit what only the service can read.
    return () => false;
  }
  return op === "=~" ? (text) => pattern.test(text) : (text) => !pattern.test(text);
}

/** A test for alerts that all matchers fit. */
export function fitting(matchers: readonly Matcher[]): (alert: Alert) => boolean {
  const tests = matchers.map((matcher) => ({ name: matcher.name, test: testOf(matcher) }));
  return (alert) => tests.every(({ name, test }) => test(labelOf(alert, name)));
}

const escape = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");

/** More names than these in one pattern nobody reads. */
const NAMES_MAX = 12;

function oneOf(name: string, alerts: readonly Alert[]): Matcher[] {
  const values = [...new Set(alerts.map((alert) => labelOf(alert, name)))].sort();
  const [first] = values;
  if (first === undefined || values.length > NAMES_MAX) return [];
  if (values.length === 1) return [{ name, op: "=", value: first }];
  return [{ name, op: "=~", value: values.map(escape).join("|") }];
}

/**
 * Matchers that fit all of these alerts and as few others as can be said shortly: their rules and
 * devices, or, of many devices, the labels that they have in common.
 */
export function matchersOf(alerts: readonly Alert[]): Matcher[] {
  const devices = oneOf("device", alerts);
  const first = alerts[0];
  const common =
    devices.length > 0 || first === undefined
      ? []
      : Object.keys(first.labels)
          .filter((name) => alerts.every((alert) => alert.labels[name] === first.labels[name]))
          .map((name): Matcher => ({ name, op: "=", value: first.labels[name] ?? "" }));
  return [...oneOf("rule", alerts), ...devices, ...common];
}
