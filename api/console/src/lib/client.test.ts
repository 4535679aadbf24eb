import { describe, expect, it, vi } from "vitest";

import { ApiError, Client, newKey, urlOf } from "./client";

interface Asked {
  url: string;
  init: RequestInit & { headers: Record<string, string> };
}

/** A client, and what it asked; each answer is used once. */
function scene(...answers: (Response | Error)[]) {
  const asked: Asked[] = [];
  const client = new Client((url, init) => {
    asked.push({ url: String(url), init: init as Asked["init"] });
    const answer = answers.shift();
    return answer instanceof Response ? Promise.resolve(answer) : Promise.reject(answer);
  });
  return { client, asked };
}

function json(body: unknown, status = 200, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), { status, headers });
}

describe("an address", () => {
  it("has its parts and its query in it, as text", () => {
    expect(urlOf("/api/v1/devices/{id}", { id: "a/b c" })).toBe("/api/v1/devices/a%2Fb%20c");
    expect(urlOf("/x", {}, { q: "a&b", none: undefined, nil: null, n: 3 })).toBe("/x?q=a%26b&n=3");
  });
});

describe("a request", () => {
  it("that shows something brings neither key nor token", async () => {
    const { client, asked } = scene(json({ devices: [] }));
    client.csrf = "secret";
    await client.get("/api/v1/devices", { query: { limit: 5 } });
    expect(asked[0]?.url).toBe("/api/v1/devices?limit=5");
    expect(asked[0]?.init.headers).toEqual({ accept: "application/json" });
  });

  it("that changes something brings token, version, and a key of its own", async () => {
    const { client, asked } = scene(json({}), json({}), json({}));
    client.csrf = "secret";
    const path = { id: "a" };
    await client.send("delete", "/api/v1/devices/{id}", { path, ifMatch: '"1"' });
    await client.send("delete", "/api/v1/devices/{id}", { path });
    await client.send("delete", "/api/v1/devices/{id}", { path, key: "mine" });
    const [first, second, third] = asked.map(({ init }) => init.headers);
    expect(first).toMatchObject({ "x-csrf-token": "secret", "if-match": '"1"' });
    expect(first?.["idempotency-key"]).toMatch(/^[0-9a-f]{32}$/);
    expect(second?.["idempotency-key"]).not.toBe(first?.["idempotency-key"]);
    expect(third?.["idempotency-key"]).toBe("mine");
  });

  it("gives the version, and nothing where the answer is empty", async () => {
    const { client } = scene(json({ device: "a" }, 200, { etag: '"7"' }), new Response(null, { status: 204 }));
    const path = { id: "a" };
    expect((await client.look("/api/v1/devices/{id}", { path })).etag).toBe('"7"');
    const gone = await client.send("delete", "/api/v1/session");
    expect(gone).toEqual({ data: undefined, status: 204, etag: null });
  });
});

describe("a list", () => {
  it("is gathered page by page, up to a bound", async () => {
    const pages = () => [
      json({ devices: [{ device: "a" }], next: "2" }),
      json({ devices: [{ device: "b" }], next: null }),
    ];
    const whole = scene(...pages());
    const rows = await whole.client.gather("/api/v1/devices", "devices", { query: { limit: 1 } });
    expect(rows.map(({ device }) => device)).toEqual(["a", "b"]);
    expect(whole.asked[1]?.url).toBe("/api/v1/devices?limit=1&cursor=2");
    const part = scene(...pages());
    expect(await part.client.gather("/api/v1/devices", "devices", {}, 1)).toHaveLength(1);
  });
});

async function failure(...answers: (Response | Error)[]): Promise<ApiError> {
  const { client } = scene(...answers);
  const error = await client.get("/api/v1/devices", {}).catch((error: unknown) => error);
  expect(error).toBeInstanceOf(ApiError);
  return error as ApiError;
}

describe("a failure", () => {
  it("carries what the server said", async () => {
    const body = { title: "Conflict", code: "alert_changed", detail: "It moved.", request_id: "r-1", errors: [{ message: "x" }] };
    const error = await failure(json(body, 409, { "retry-after": "3" }));
    expect(error).toMatchObject({ status: 409, code: "alert_changed", title: "Conflict", message: "It moved." });
    expect(error).toMatchObject({ requestId: "r-1", retryAfter_s: 3, errors: [{ message: "x" }], body });
  });

  it("is told where the server said nothing, or was not there", async () => {
    const bare = await failure(new Response("<p>bad gateway", { status: 502, headers: { "x-request-id": "p-2" } }));
    expect(bare).toMatchObject({ status: 502, code: null, requestId: "p-2", message: "The server answered 502." });
    expect(await failure(new TypeError("failed to fetch"))).toMatchObject({ status: 0, code: "no_answer" });
  });

  it("of the session is heard, a wrong password is not", async () => {
    const { client } = scene(json({ code: "unauthenticated" }, 401), json({ code: "wrong_credentials" }, 401));
    client.onSignedOut = vi.fn();
    await client.get("/api/v1/devices", {}).catch(() => undefined);
    expect(client.onSignedOut).toHaveBeenCalledTimes(1);
    const body = { name: "ada", password: "x" };
    await client.send("post", "/api/v1/session", { body }).catch(() => undefined);
    expect(client.onSignedOut).toHaveBeenCalledTimes(1);
  });

  it("by taking too long is told apart from being called off", async () => {
    const never: typeof fetch = (_, init) =>
      new Promise((_, reject) => init?.signal?.addEventListener("abort", () => reject(new Error("aborted"))));
    const client = new Client(never);
    const late = client.get("/api/v1/devices", { timeout_ms: 1 });
    await expect(late).rejects.toMatchObject({ code: "timeout" });
    const controller = new AbortController();
    const off = client.get("/api/v1/devices", { signal: controller.signal });
    controller.abort();
    await expect(off).rejects.toThrow("aborted");
  });
});

it("keys differ", () => {
  expect(newKey()).not.toBe(newKey());
});

/** Never run: each of these is what the check of types must refuse, and fails that check if it is not. */
export function refused(client: Client): unknown[] {
  return [
    // @ts-expect-error: there is no such path.
    client.get("/api/v1/nowhere"),
    // @ts-expect-error: a part of the path is missing.
    client.get("/api/v1/devices/{id}"),
    // @ts-expect-error: that part has another name.
    client.get("/api/v1/devices/{id}", { path: { device: "a" } }),
    // @ts-expect-error: no such parameter.
    client.get("/api/v1/devices", { query: { nothing: 1 } }),
    // @ts-expect-error: the path does not take this method.
    client.send("put", "/api/v1/session"),
    // @ts-expect-error: a member of the body is missing.
    client.send("post", "/api/v1/session", { body: { name: "ada" } }),
    // @ts-expect-error: the answer has no such list.
    client.gather("/api/v1/devices", "alerts", {}),
    // @ts-expect-error: the answer has no such member.
    client.get("/api/v1/session/ways").then((ways) => ways.nothing),
  ];
}
