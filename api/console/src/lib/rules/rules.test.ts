import { describe, expect, it } from "vitest";

import type { Alert } from "../words";
import { bucketsOf, cutLines, outcomeOf, stripsOf } from "./backtest";
import { callAt, completeAt, type Fleet, placeAt, type Words } from "./complete";
import { countOf, diffLines, sideBySide } from "./diff";
import { highlight, marked } from "./highlight";
import { countsOf, filterRules, orderRules, type Rule } from "./list";
import { seen } from "./seen";
import { copyOf, TEMPLATES } from "./templates";
import { beginning, offsetOf } from "./tests";
import { metricsOf, thresholdsOf } from "./threshold";
import { fieldsOf, quote, withField } from "./toml";

const TEXT = `# ovens
[[rule]]
name = "hot"            # a name
when = "avg(temperature, 5m) > limit and not door"
params = { limit = 80, low = -2.5 }
summary = """
{device}
is hot"""
latch = true

[[rule.override]]
select = "device = 'x'"
`;

describe("the keys of a rule", () => {
  it("are read where they are simple, and known where they are not", () => {
    const fields = fieldsOf(TEXT);
    expect([...fields.keys()]).toEqual(["name", "when", "params", "summary", "latch"]);
    expect(fields.get("name")?.value).toBe("hot");
    expect(fields.get("latch")).toMatchObject({ value: "true", isQuoted: false });
    expect(fields.get("summary")).toMatchObject({ value: null, from: 5, to: 8 });
    expect(fields.get("params")?.value).toBe("{ limit = 80, low = -2.5 }");
    expect(fieldsOf("[[rule]]\nwhen = 'a # b' # c")?.get("when")?.value).toBe("a # b");
    expect(fieldsOf('[[rule]]\nsummary = "say \\"hi\\""').get("summary")?.value).toBe('say "hi"');
    expect([...fieldsOf("[[rule]]\nparams = {\n a = 1,\n}\nfor = '1m'").keys()]).toEqual(["params", "for"]);
  });

  it("are changed in their place, and what else stands there stays", () => {
    expect(withField(TEXT, "name", quote("cold"))).toBe(TEXT.replace('name = "hot" ', 'name = "cold" '));
    expect(withField(TEXT, "summary", quote("x"))).toBe(TEXT.replace(/summary = """[^]*"""/, 'summary = "x"'));
    expect(withField(TEXT, "latch", null)).toBe(TEXT.replace("latch = true\n", ""));
    expect(withField(TEXT, "select", null)).toBe(TEXT);
  });

  it("are added behind those that usually stand before them", () => {
    const made = withField(TEXT, "for", quote("2m"));
    expect(made).toContain('door"\nfor = "2m"\nparams');
    expect(withField("[[rule]]\n", "name", quote("a"))).toBe('[[rule]]\nname = "a"\n');
    expect(quote('a "b"\n\\')).toBe('"a \\"b\\"\\n\\\\"');
  });
});

describe("colours", () => {
  it("cut a text into pieces and lose nothing", () => {
    const cut = highlight(TEXT).map((pieces) => pieces.map(([, text]) => text).join("")).join("\n");
    expect(cut).toBe(TEXT);
    for (const odd of ['when = "', "a = 'b", '"""', "x = [1, [2", "= = =", "[[", "# \u{1f525} = '"]) {
      expect(highlight(odd).map((pieces) => pieces.map(([, text]) => text).join("")).join("\n")).toBe(odd);
    }
  });

  it("know functions, metrics, words and numbers inside of a condition", () => {
    const [line] = highlight("when = \"avg by (site) (temperature) > 5m and `a b` = 'x'\"");
    expect(line).toContainEqual(["f", "avg"]);
    expect(line).toContainEqual(["m", "temperature"]);
    expect(line).toContainEqual(["n", "5m"]);
    expect(line).toContainEqual(["w", "and"]);
    expect(line).toContainEqual(["m", "`a b`"]);
    expect(line).toContainEqual(["s", "'x'"]);
  });

  it("set a place apart, in characters", () => {
    const pieces = marked([["k", "a\u{1f525}c"], ["", "def"]], 1, 4);
    expect(pieces.filter(([, isMarked]) => isMarked).map(([[, text]]) => text).join("")).toBe("\u{1f525}cd");
    expect(pieces.map(([[, text]]) => text).join("")).toBe("a\u{1f525}cdef");
  });
});

const word = (name: string, usage: string, gives = "") => ({ name, usage, gives });
const WORDS: Words = {
  functions: [word("abs", "abs(number)"), word("avg", "avg(metric, window)", "the mean"), word("absent", "absent(metric, duration)")],
  aggregates: [word("avg", "avg by (label) (number)", "the mean over the members")],
  keys: [word("when", 'when = "t > 1"'), word("for", 'for = "2m"'), word("severity", 'severity = "critical"', "`info`, `warning` or `critical`")],
  keywords: ["and", "or", "not", "by"],
};
const FLEET: Fleet = { metrics: ["temperature", "door open"], labels: new Map([["site", new Set(["berlin", "bonn"])]]) };

function offered(before: string, asked = false, after = "") {
  const offer = completeAt(before + after, before.length, WORDS, FLEET, asked);
  return offer?.items.map(({ label }) => label) ?? null;
}

describe("completion", () => {
  it("offers functions and metrics within a condition", () => {
    expect(offered('when = "a')).toEqual(["abs", "avg", "absent", "avg by", "and", "temperature"]);
    expect(offered('when = "temp')).toEqual(["temperature"]);
    expect(offered('when = "')).toBeNull();
    expect(offered('when = "', true)).toContain("not");
    expect(completeAt('when = "door', 12, WORDS, FLEET, false)?.items[0]?.insert).toBe("`door open`");
    expect(offered('levels = { warning = "temp')).toEqual(["temperature"]);
    expect(offered("params = { lim = 1 }\nwhen = \"t > li", false, '"')).toEqual(["lim"]);
  });

  it("offers units behind a number, labels behind `by`", () => {
    expect(offered('when = "avg(temperature, 5')).toContain("5m");
    expect(offered('when = "t > 5')).toBeNull();
    expect(offered('when = "avg(t, 5m')).toBeNull();
    expect(offered('when = "avg by (s')).toEqual(["site"]);
  });

  it("offers labels and their values in a selection", () => {
    expect(offered('select = "si')).toEqual(["site"]);
    expect(offered("select = \"site = 'b")).toEqual(["berlin", "bonn"]);
  });

  it("offers keys that are not there yet, and the values that their explanation names", () => {
    expect(offered('when = "x"\n', true)).toEqual(["for", "severity"]);
    expect(offered('severity = "')).toBeNull();
    expect(offered('severity = "w')).toEqual(["warning"]);
    expect(offered('for = "1')).toContain("10s");
    expect(offered('summary = "{de')).toEqual(["device"]);
    expect(offered('when = "x" # a')).toBeNull();
  });

  it("knows in which call the caret is", () => {
    const call = (before: string) => callAt(before, before.length, WORDS)?.usage ?? null;
    expect(call('when = "avg(temperature, ')).toBe("avg(metric, window)");
    expect(call('when = "avg(abs(')).toBe("abs(number)");
    expect(call('when = "avg(abs(t), ')).toBe("avg(metric, window)");
    expect(call('when = "avg by (site) (')).toBe("avg by (label) (number)");
    expect(call('when = "avg(t, 5m) > ')).toBeNull();
    expect(placeAt('a = "x"\nb', 9)).toMatchObject({ key: null, line: "b" });
  });
});

describe("the difference of two texts", () => {
  it("keeps the longest common run of lines", () => {
    const rows = diffLines("a\nb\nc\nd\n", "a\nc\nx\nd\n");
    expect(rows.map(({ kind, text }) => kind[0] + text)).toEqual(["sa", "gb", "sc", "nx", "sd"]);
    expect(rows.map(({ left, right }) => [left, right])).toEqual([[1, 1], [2, null], [3, 2], [null, 3], [4, 4]]);
    expect(countOf(rows)).toEqual({ n_new: 1, n_gone: 1 });
    expect(diffLines("", "a").map(({ kind }) => kind)).toEqual(["new"]);
    expect(diffLines("a", "a\n")).toHaveLength(1);
  });

  it("gives both texts back, whatever they are", () => {
    let seed = 7;
    const random = (n: number): number => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
    for (let turn = 0; turn < 200; turn += 1) {
      const text = (): string => Array.from({ length: random(12) }, () => "abc"[random(3)]).join("\n");
      const [before, after] = [text(), text()];
      const rows = diffLines(before, after);
      const side = (not: string): string => rows.filter(({ kind }) => kind !== not).map((row) => row.text).join("\n");
      expect([side("new"), side("gone")]).toEqual([before, after]);
    }
  });

  it("puts what goes beside what comes", () => {
    const pairs = sideBySide(diffLines("a\nb\nc", "a\nx\ny\nc"));
    expect(pairs.map(({ left, right }) => [left?.text, right?.text])).toEqual([["a", "a"], ["b", "x"], [undefined, "y"], ["c", "c"]]);
  });
});

describe("limits", () => {
  it("are the numbers that a metric is compared with", () => {
    expect(thresholdsOf(TEXT, "temperature")).toEqual([80]);
    expect(thresholdsOf("[[rule]]\nwhen = \"t > limit and p < 3\"\nclear = \"t < limit - 2\"\nparams = { limit = -15 }", "t")).toEqual([-15, -17]);
    expect(thresholdsOf("[[rule]]\nlevels = { warning = \"t > 80\", critical = \"t > 90\" }", "t")).toEqual([80, 90]);
    expect(thresholdsOf('[[rule]]\nwhen = "rate(t, 5m) > 3"', "t")).toEqual([]);
    expect(metricsOf("avg(temperature, 5m) > limit and `a b` > 1", ["temperature", "a b", "x"])).toEqual(["temperature", "a b"]);
  });
});

describe("a backtest", () => {
  const episode = (device: string, hour: number, secs: number) => ({
    rule: "hot",
    device,
    severity: "critical",
    fired_at: `2026-01-01T0${hour}:00:00Z`,
    ended_at: secs === 0 ? null : new Date(Date.UTC(2026, 0, 1, hour) + secs * 1000).toISOString(),
    secs,
    value: 91,
    reason: "",
  });
  const [one, two, old] = [episode("a", 1, 600), episode("b", 2, 0), episode("a", 3, 60)];
  const summary = {
    readings: 10,
    rules: [{ rule: "hot", fired: 2, devices: 2, total_secs: 600 }],
    episodes: [one, two],
    difference: {
      same: 0,
      only_tried: 1,
      only_running: 1,
      moved: 1,
      episodes_only_tried: [two],
      episodes_only_running: [old],
      episodes_moved: [{ tried: one, running: { ...one, secs: 900 } }],
    },
  };
  const [from, to] = [Date.UTC(2026, 0, 1), Date.UTC(2026, 0, 1, 4)];

  it("is told with what is new, gone, longer or shorter", () => {
    const outcome = outcomeOf(summary, "hot");
    expect(outcome.episodes.map(({ device, change, by_ms }) => [device, change, by_ms])).toEqual([
      ["a", "shorter", -300_000],
      ["b", "new", 0],
      ["a", "gone", 0],
    ]);
    expect(outcome).toMatchObject({ n_fired: 2, n_devices: 2, total_ms: 600_000, difference: { n_new: 1, n_gone: 1 } });
    expect(outcomeOf({ ...summary, difference: null }, "hot").episodes[0]?.change).toBeNull();
  });

  it("is drawn as strips and counts", () => {
    const { episodes } = outcomeOf(summary, "hot");
    const strips = stripsOf(episodes, from, to);
    expect(strips.map(({ device, bars }) => [device, bars.length])).toEqual([["a", 2], ["b", 1]]);
    expect(strips[0]?.bars[0]?.left).toBe(0.25);
    expect(strips[1]?.bars[0]?.width).toBe(0.5);
    expect(bucketsOf(episodes, from, to, 4)).toEqual([0, 1, 1, 0]);
  });

  it("comes line by line, wherever it is cut", () => {
    expect(cutLines('{"a":1}\n{"b"')).toEqual({ lines: ['{"a":1}'], rest: '{"b"' });
    expect(cutLines("")).toEqual({ lines: [], rest: "" });
  });
});

describe("a rule that is seen again", () => {
  const draft = { text: "mine", toml: "base", revision: 3 };

  it("is taken if it is newer and nothing is lost by that", () => {
    expect(seen({ ...draft, text: "base" }, { toml: "theirs", revision: 4 })).toBe("take");
    expect(seen(draft, { toml: "base", revision: 4 })).toBe("take");
    expect(seen(draft, { toml: "mine", revision: 4 })).toBe("take");
    expect(seen({ text: "", toml: "", revision: null }, { toml: "first", revision: 1 })).toBe("take");
    expect(seen({ text: "a", toml: "a", revision: null }, { toml: "b", revision: null })).toBe("take");
  });

  it("is a conflict if both have another text, and nothing if the answer is old", () => {
    expect(seen(draft, { toml: "theirs", revision: 4 })).toBe("conflict");
    expect(seen(draft, { toml: "theirs", revision: 3 })).toBe("known");
    expect(seen({ ...draft, text: "base" }, { toml: "old", revision: 2 })).toBe("known");
    expect(seen({ text: "a", toml: "a", revision: null }, { toml: "a", revision: null })).toBe("known");
  });
});

describe("the list", () => {
  const rule = (name: string, more: Partial<Rule> = {}): Rule =>
    ({ name, severity: "warning", when: "t > 1", select: null, source: "api", enabled: true, problem: null, updated_at: null, ...more }) as Rule;
  const rules = [rule("b2"), rule("a10", { severity: "critical", enabled: false }), rule("a2", { source: "file", select: "site = 'x'" })];
  const alert = (name: string, state: string): Alert => ({ rule: name, state }) as Alert;
  const counts = countsOf([alert("b2", "firing"), alert("b2", "pending"), alert("a2", "pending"), alert("a2", "resolved")]);
  const names = (list: Rule[]): string[] => list.map(({ name }) => name);
  const NONE = { q: "", severity: null, source: null, state: null };

  it("is filtered and ordered", () => {
    expect(counts.get("b2")).toEqual({ firing: 1, pending: 1 });
    expect(names(filterRules(rules, { ...NONE, q: "SITE x" }, counts))).toEqual(["a2"]);
    expect(names(filterRules(rules, { ...NONE, state: "disabled" }, counts))).toEqual(["a10"]);
    expect(names(filterRules(rules, { ...NONE, state: "firing" }, counts))).toEqual(["b2", "a2"]);
    expect(names(filterRules(rules, { ...NONE, source: "file" }, counts))).toEqual(["a2"]);
    expect(names(orderRules(rules, "name", counts))).toEqual(["a2", "a10", "b2"]);
    expect(names(orderRules(rules, "firing", counts))).toEqual(["b2", "a2", "a10"]);
    expect(names(orderRules(rules, "severity", counts))[0]).toBe("a10");
  });
});

describe("examples", () => {
  it("are about what the fleet has", () => {
    for (const { toml } of TEMPLATES) {
      const fields = fieldsOf(toml("door open", "site"));
      expect(fields.get("name")?.value).toMatch(/^[a-z][a-z-]*$/);
      expect(fields.get("when")?.value).not.toBe("");
    }
    expect(copyOf(TEMPLATES[0]!.toml("t", "site"))).toContain('name = "t-high-copy"');
  });
});

describe("a test of a rule", () => {
  const begun = (lines: string): string => beginning(`[[rule]]\nname = "r"\n${lines}`);

  it("begins with values on both sides of the rule's own limits, for as long as it asks", () => {
    expect(beginning(TEXT)).toMatch(/\ntemperature = "72x3 88x31"\n[^]*at = "5m30s"\nrule = "hot"\n/);
    expect(begun("")).toContain('temperature = "0x3 1x1"');
    expect(begun('when = "motor.rpm > 5"')).toMatch(/motor\.rpm = "4x3 6x1"\n[^]*at = "30s"/);
    expect(begun('when = "t < limit - 2"\nfor = "1m30s"\nparams = { limit = -15 }')).toMatch(/t = "-15.3x3 -18.7x10"\n[^]*at = "2m"/);
    expect(begun('when = "`a b` > 2 and p < 0.5 or q > 1"')).toContain('"a b" = "1x3 3x1"\np = "1.5x3 -0.5x1"\n\n');
    expect(begun('when = "rate(n, 1m) > 0.5"')).toContain('n = "0x3 0+15x7"');
    expect(begun('when = "absent(n, 1m)"')).toMatch(/n = "0x3"\n[^]*at = "1m30s"/);
    expect(begun('levels = { warning = "t > 80", critical = "t > 90" }')).toContain('t = "72x3 88x1"');
  });

  it("begins with a device that the rule selects", () => {
    expect(begun("select = \"kind = 'freezer' and site =~ 'berlin-.*|bonn' and line != '3'\"")).toContain(
      'device = "device-1"\nset = { kind = "freezer", site = "berlin-1" }',
    );
    const text = begun("when = \"t > 1\"\nselect = \"device =~ '(pump|fan)-[0-9]+'\"");
    expect(text.match(/device = "pump-1"/g)).toHaveLength(2);
  });

  it("is found by its line", () => {
    expect([1, 2, 3].map((line) => offsetOf("ab\n\ncd", line))).toEqual([0, 3, 4]);
  });
});
