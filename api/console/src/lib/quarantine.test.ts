import { expect, test } from "vitest";

import type { Schemas } from "./client";
import { countReasons, draftMapping, hexDump, reasonWords, replay, shownPayload } from "./quarantine";

test("reasons are words, and counted", () => {
  expect(reasonWords("bad_json")).toBe("bad JSON");
  expect(reasonWords("bad_utf8")).toBe("bad UTF-8");
  expect(reasonWords("bad_senml")).toBe("bad SenML");
  const rows = ["b", "a", "b", "c"].map((reason) => ({ reason }));
  expect(countReasons(rows)).toEqual([
    { reason: "b", n: 2 },
    { reason: "a", n: 1 },
    { reason: "c", n: 1 },
  ]);
});

test("bytes are shown as such, and text with what is not seen", () => {
  expect(hexDump(btoa("a\u0000\u00ff"))).toBe(`0000  61 00 ff${" ".repeat(41)}a··`);
  expect(hexDump(btoa("x".repeat(17))).split("\n")).toHaveLength(2);
  expect(shownPayload({ payload: "a\u0000b\r\n\tc", payload_base64: null })).toEqual({ text: "a␀b␍\n\tc", isText: true });
  expect(shownPayload({ payload: null, payload_base64: btoa("\u0001") }).isText).toBe(false);
});

test("a mapping begins with the topic's device", () => {
  expect(draftMapping("plant/1/press-7/data", "press-7")).toContain('topic = "plant/1/{device}/data"');
  expect(draftMapping("plant/press-7/data", null)).toContain('topic = "plant/{device}/data"');
  expect(draftMapping("press", null)).toContain('topic = "{device}"');
});

test("a replay goes on to the last page", async () => {
  const asked: Schemas["Replay"][] = [];
  const answers: Schemas["Replayed"][] = [
    { dry_run: false, replayed: 100, readings: 7, left: [], next: "n1" },
    { dry_run: false, replayed: 3, readings: 3, left: [{ id: "1-0", topic: "t", device: null, reason: "bad_json", detail: "d" }], next: null },
  ];
  const send = async (body: Schemas["Replay"]) => {
    asked.push(body);
    return answers[asked.length - 1]!;
  };
  const heard: number[] = [];
  const outcome = await replay(send, { device: "a" }, false, 50, ({ payloads }) => heard.push(payloads));
  expect(outcome).toEqual({ payloads: 103, readings: 10, left: [{ reason: "bad_json", n: 1 }], more: false });
  expect(asked.map(({ cursor, device }) => [cursor, device])).toEqual([[null, "a"], ["n1", "a"]]);
  expect(heard).toEqual([100, 103]);
  asked.length = 0;
  expect((await replay(send, {}, true, 1)).more, "only so many pages").toBe(true);
});
