import { describe, expect, it } from "vitest";

import { CONNECT_MAX_MS, Link, SILENCE_MAX_MS, STALE_AFTER_MS } from "./link";

/** A link that has been open since 0. */
function open(): Link {
  const link = new Link(0);
  link.connecting(0);
  link.opened(0);
  return link;
}

describe("link", () => {
  it("connects at once", () => {
    expect(new Link(5).tick(5)).toBe("connect");
  });

  it("is not stale before anything was shown", () => {
    const link = new Link(0);
    link.connecting(0);
    link.closed(100, 0.5);
    expect(link.stale(1_000_000)).toBe(false);
  });

  it("is stale within two seconds of losing the socket", () => {
    const link = open();
    link.frame(59_000);
    link.closed(60_000, 0);
    expect(link.stale(60_000)).toBe(false);
    expect(link.stale(60_000 + STALE_AFTER_MS)).toBe(true);
    expect(STALE_AFTER_MS).toBeLessThan(2000);
  });

  it("stays stale while it tries, and is fresh again once connected", () => {
    const link = open();
    link.closed(60_000, 0);
    link.connecting(62_000);
    expect(link.stale(62_000)).toBe(true);
    link.opened(62_100);
    expect(link.stale(70_000)).toBe(false);
  });

  it("gives up on a connection that says nothing", () => {
    const link = open();
    link.frame(5_000);
    expect(link.tick(5_000 + SILENCE_MAX_MS - 1)).toBe(null);
    expect(link.tick(5_000 + SILENCE_MAX_MS)).toBe("abort");
  });

  it("counts a silent connection as stale from its last frame", () => {
    const link = open();
    link.frame(5_000);
    const now = 5_000 + SILENCE_MAX_MS;
    link.closed(now, 0);
    expect(link.lostAt).toBe(5_000);
    expect(link.stale(now)).toBe(true);
  });

  it("gives up on a connection that never answers", () => {
    const link = new Link(0);
    link.connecting(0);
    expect(link.tick(CONNECT_MAX_MS - 1)).toBe(null);
    expect(link.tick(CONNECT_MAX_MS)).toBe("abort");
  });

  it("waits longer after each failure, up to a bound", () => {
    const link = new Link(0);
    const waits = Array.from({ length: 8 }, () => {
      link.connecting(0);
      link.closed(0, 1);
      return link.retryAt;
    });
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
  });

  it("spreads the retries of many operators over half of the wait", () => {
    const retryAt = (random: number): number => {
      const link = open();
      link.closed(10_000, random);
      return link.retryAt - 10_000;
    };
    expect([retryAt(0), retryAt(0.5), retryAt(1)]).toEqual([250, 375, 500]);
  });

  it("waits briefly again after a good connection, not after one that was cut at once", () => {
    const link = open();
    link.closed(100, 1);
    link.connecting(1_000);
    link.opened(1_000);
    link.closed(1_100, 1);
    expect(link.retryAt - 1_100).toBe(1000);
    link.connecting(3_000);
    link.opened(3_000);
    link.closed(60_000, 1);
    expect(link.retryAt - 60_000).toBe(500);
  });

  it("does not wait when asked to hurry", () => {
    const link = open();
    link.closed(100, 1);
    expect(link.tick(100)).toBe(null);
    link.hurry(100);
    expect(link.tick(100)).toBe("connect");
  });

  it("does not wait long for what is found dead after it was asked to hurry", () => {
    const link = open();
    for (const at of [0, 100, 200, 300]) {
      link.closed(at, 1);
      link.connecting(at);
      link.opened(at);
    }
    link.hurry(400);
    link.closed(400, 1);
    expect(link.retryAt - 400).toBe(500);
  });

  it("is not fooled by a clock that was set back", () => {
    const link = open();
    link.frame(1_000_000);
    expect(link.tick(0)).toBe(null);
    expect(link.tick(SILENCE_MAX_MS)).toBe("abort");
    link.closed(1_000_000, 1);
    expect(link.tick(0)).toBe(null);
    expect(link.tick(15_000)).toBe("connect");
  });
});
