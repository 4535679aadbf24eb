import { describe, expect, it } from "vitest";

import { type Command, Commands, filterCommands } from "./commands";
import { Keys, sayCombo, SEQUENCE_MAX_MS, strokeOf } from "./keys";

const bare = { ctrlKey: false, metaKey: false, altKey: false, shiftKey: false };
const nothing = (): void => undefined;
const key = (combo: string, title = combo) => ({ combo, title, run: nothing });

describe("a stroke", () => {
  it("is written as combos are", () => {
    expect(strokeOf({ ...bare, key: "a" })).toBe("a");
    expect(strokeOf({ ...bare, key: "A", shiftKey: true })).toBe("shift+a");
    expect(strokeOf({ ...bare, key: "?", shiftKey: true })).toBe("?");
    expect(strokeOf({ ...bare, key: "k", metaKey: true })).toBe("mod+k");
    expect(strokeOf({ ...bare, key: "K", ctrlKey: true, shiftKey: true })).toBe("mod+shift+k");
    expect(strokeOf({ ...bare, key: "Shift", shiftKey: true })).toBe(null);
    expect(strokeOf({ ...bare, key: "a", altKey: true })).toBe(null);
  });

  it("is said as people read it", () => {
    expect(sayCombo("mod+k", false)).toBe("Ctrl K");
    expect(sayCombo("g a", true)).toBe("g then a");
    expect(sayCombo("?", false)).toBe("?");
    expect(sayCombo("Escape", false)).toBe("Esc");
  });
});

describe("keys", () => {
  it("are single, or one after the other in time", () => {
    const keys = new Keys();
    keys.add([key("/"), key("g a"), key("a")]);
    expect(keys.press("/", 0)?.combo).toBe("/");
    expect(keys.press("g", 0)).toBe(null);
    expect(keys.press("a", SEQUENCE_MAX_MS)?.combo).toBe("g a");
    keys.press("g", 10_000);
    expect(keys.press("a", 10_001 + SEQUENCE_MAX_MS)?.combo).toBe("a");
  });

  it("are heard again after a sequence that came to nothing", () => {
    const keys = new Keys();
    keys.add([key("/"), key("g a")]);
    keys.press("g", 0);
    expect(keys.press("/", 1)?.combo).toBe("/");
    expect(keys.press("a", 2)).toBe(null);
  });

  it("of a page go before those of all, until it is gone", () => {
    const keys = new Keys();
    keys.add([key("e", "of all"), key("?")]);
    const leave = keys.add([key("e", "of the page")]);
    expect(keys.press("e", 0)?.title).toBe("of the page");
    expect(keys.all().map(({ title }) => title)).toEqual(["of the page", "?"]);
    leave();
    leave();
    expect(keys.press("e", 0)?.title).toBe("of all");
  });
});

describe("commands", () => {
  const command = (title: string, group = "Go to", words = ""): Command => ({ title, group, words, run: nothing });

  it("are found by every word, those that begin so first", () => {
    const list = [command("Go home"), command("Alerts"), command("Silence", "Alert"), command("Theme", "Look", "dark")];
    const found = (typed: string) => filterCommands(list, typed).map(({ title }) => title);
    expect(found("al")).toEqual(["Alerts", "Silence"]);
    expect(found("dark LOOK")).toEqual(["Theme"]);
    expect(found("alert silence")).toEqual(["Silence"]);
    expect(found("")).toHaveLength(4);
    expect(found("nothing")).toEqual([]);
  });

  it("come from whoever is shown, and from finders that do not fail", async () => {
    const commands = new Commands();
    const leave = commands.add(() => [command("a")]);
    commands.addFinder(async (text) => [command(`device ${text}`)]);
    commands.addFinder(() => Promise.reject(new Error("away")));
    expect(commands.all().map(({ title }) => title)).toEqual(["a"]);
    const found = await commands.find("x", new AbortController().signal);
    expect(found.map(({ title }) => title)).toEqual(["device x"]);
    leave();
    expect(commands.all()).toEqual([]);
  });
});
