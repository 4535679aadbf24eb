// The HTTP client, typed by the API's own document: a path, a parameter or a body that the service
// does not know is found when the console is checked. Failures carry what the server said.
import { learnOffset } from "./clock";
import type { components, paths } from "./schema";

/** The shapes that the API's document names. */
export type Schemas = components["schemas"];

export type Method = "get" | "post" | "put" | "patch" | "delete";
type Writing = Exclude<Method, "get">;

/** The paths that take a method, as the document writes them: `/api/v1/devices/{id}`. */
export type PathOf<M extends Method> = {
  [P in keyof paths]: M extends keyof paths[P] ? ([paths[P][M]] extends [undefined] ? never : P) : never;
}[keyof paths];

type Operation<P extends keyof paths, M extends Method> = M extends keyof paths[P]
  ? Exclude<paths[P][M], undefined>
  : never;

type InPath<O> = O extends { parameters: { path: infer V extends object } } ? { path: V } : { path?: undefined };
type InQuery<O> = O extends { parameters: { query?: infer Q } } ? { query?: Q } : { query?: undefined };
type InBody<O> = O extends { requestBody: { content: { "application/json": infer B } } }
  ? { body: B }
  : O extends { requestBody?: { content: { "application/json": infer B } } }
    ? { body?: B }
    : { body?: undefined };

type Good = 200 | 201 | 202 | 204;
type AnswerOf<O> = O extends { responses: infer R }
  ? { [S in keyof R & Good]: R[S] extends { content: { "application/json": infer B } } ? B : undefined }[keyof R & Good]
  : never;

/** What the body of a successful answer is. */
export type Body<P extends keyof paths, M extends Method> = AnswerOf<Operation<P, M>>;

/** The members of an answer, of any of its shapes if it has several. */
type KeyOf<T> = T extends unknown ? keyof T & string : never;
type At<T, K extends string> = T extends { [k in K]: infer V } ? V : never;

interface Common {
  signal?: AbortSignal | undefined;
  /** How long the answer may take. Default 15 s. */
  timeout_ms?: number;
  /** The version that was seen: the `etag` of an answer. */
  ifMatch?: string;
  /** It must not be there yet. */
  ifNone?: true;
  /** Of a request that changes something; one made by `newKey` where it may be sent again. */
  key?: string;
}

export type Options<P extends keyof paths, M extends Method> = Common &
  InPath<Operation<P, M>> &
  InQuery<Operation<P, M>> &
  InBody<Operation<P, M>>;

/** What a call needs beside the path: nothing where nothing must be given. */
type Rest<O> = Record<never, never> extends O ? [options?: O] : [options: O];

export interface Answer<T> {
  data: T;
  status: number;
  /** The version, for `ifMatch`. */
  etag: string | null;
}

/** One thing that is wrong with a request, where the server says so place by place. */
export interface Fault {
  message: string;
  [key: string]: unknown;
}

interface Told {
  status: number;
  code?: string | null;
  title?: string | null;
  requestId?: string | null;
  retryAfter_s?: number | null;
  errors?: Fault[];
  body?: Record<string, unknown>;
}

/** An answer that was not a success, or none at all (`status` 0). Its message is the detail. */
export class ApiError extends Error {
  readonly status: number;
  /** The stable `code` of a problem; `no_answer` and `timeout` are ours. */
  readonly code: string | null;
  readonly title: string | null;
  readonly requestId: string | null;
  readonly retryAfter_s: number | null;
  readonly errors: Fault[];
  /** The whole problem: some have more to say, as `alert`. */
  readonly body: Record<string, unknown>;

  constructor(detail: string, told: Told) {
    super(detail);
    this.status = told.status;
    this.code = told.code ?? null;
    this.title = told.title ?? null;
    this.requestId = told.requestId ?? null;
    this.retryAfter_s = told.retryAfter_s ?? null;
    this.errors = told.errors ?? [];
    this.body = told.body ?? {};
  }
}

const TIMEOUT_MS = 15_000;

/** The most pages gathered for one list: a bound, whatever `next` says. */
const PAGES_MAX = 200;

/** A new `Idempotency-Key`. `crypto.randomUUID` is not there over plain HTTP. */
export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The path with its parts filled in, and the query behind it. Lists become one value with commas. */
export function urlOf(
  template: string,
  path: Record<string, unknown> = {},
  query: Record<string, unknown> = {},
): string {
  const filled = template.replace(/\{([^}]+)\}/g, (_, name: string) => encodeURIComponent(String(path[name])));
  const pairs = Object.entries(query)
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]): [string, string] => [name, String(value)]);
  return pairs.length === 0 ? filled : `${filled}?${new URLSearchParams(pairs)}`;
}

export async function problemOf(response: Response): Promise<ApiError> {
  const body = ((await response.json().catch(() => null)) ?? {}) as Record<string, unknown>;
  const word = (name: string): string | null => (typeof body[name] === "string" ? body[name] : null);
  const wait = Number(response.headers.get("retry-after") ?? Number.NaN);
  return new ApiError(word("detail") ?? word("title") ?? `The server answered ${response.status}.`, {
    status: response.status,
    code: word("code"),
    title: word("title"),
    requestId: word("request_id") ?? response.headers.get("x-request-id"),
    retryAfter_s: Number.isFinite(wait) ? wait : null,
    errors: Array.isArray(body["errors"]) ? (body["errors"] as Fault[]) : [],
    body,
  });
}

/** The loose form of options, once the types have done their work. */
interface Loose extends Common {
  path?: Record<string, unknown> | undefined;
  query?: Record<string, unknown> | undefined;
  body?: unknown;
}

export class Client {
  /** What requests that change something bring; the session knows it. */
  csrf: string | null = null;
  /** Hears that the session is over. */
  onSignedOut: () => void = () => undefined;
  readonly #fetch: typeof fetch;

  constructor(fetcher: typeof fetch) {
    this.#fetch = fetcher;
  }

  /** The body of what a path shows. */
  async get<P extends PathOf<"get">>(path: P, ...[options]: Rest<Options<P, "get">>): Promise<Body<P, "get">> {
    return (await this.#ask<Body<P, "get">>("get", path, options as Loose)).data;
  }

  /** The same with its version. */
  async look<P extends PathOf<"get">>(path: P, ...[options]: Rest<Options<P, "get">>): Promise<Answer<Body<P, "get">>> {
    return this.#ask<Body<P, "get">>("get", path, options as Loose);
  }

  /** Changes something. It is done once: each call has a key of its own, or the one that is given. */
  async send<M extends Writing, P extends PathOf<M>>(
    method: M,
    path: P,
    ...[options]: Rest<Options<P, M>>
  ): Promise<Answer<Body<P, M>>> {
    return this.#ask<Body<P, M>>(method, path, options as Loose);
  }

  /**
   * The rows of all pages of a list, at most `most` of them and a page more. `key` is the member of
   * the answer that has them.
   */
  async gather<P extends PathOf<"get">, K extends KeyOf<Body<P, "get">>>(
    path: P,
    key: K,
    options: Options<P, "get">,
    most = Number.POSITIVE_INFINITY,
  ): Promise<At<Body<P, "get">, K>> {
    const rows: unknown[] = [];
    const loose = options as Loose;
    let query = loose.query ?? {};
    for (let n_pages = 0; n_pages < PAGES_MAX && rows.length < most; n_pages += 1) {
      const { data } = await this.#ask<Record<string, unknown>>("get", path, { ...loose, query });
      const page = data[key];
      if (Array.isArray(page)) for (const row of page) rows.push(row);
      const next = data["next"];
      if (typeof next !== "string" && typeof next !== "number") break;
      query = { ...query, cursor: next };
    }
    return rows as At<Body<P, "get">, K>;
  }

  async #ask<T>(method: Method, template: string, options: Loose = {}): Promise<Answer<T>> {
    const { signal, timeout_ms = TIMEOUT_MS } = options;
    const limit = AbortSignal.timeout(timeout_ms);
    const init: RequestInit = {
      method: method.toUpperCase(),
      headers: this.#headers(method, options),
      signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
    };
    if (options.body !== undefined) init.body = JSON.stringify(options.body);
    let response: Response;
    let data: T;
    try {
      response = await this.#fetch(urlOf(template, options.path, options.query), init);
      learnFrom(response);
      if (!response.ok) throw await this.#problem(response);
      const isEmpty = response.status === 204 || response.headers.get("content-length") === "0";
      data = (isEmpty ? undefined : await response.json()) as T;
    } catch (error) {
      if (error instanceof ApiError || signal?.aborted === true) throw error;
      throw limit.aborted
        ? new ApiError("The server has not answered in time.", { status: 0, code: "timeout" })
        : new ApiError("The server does not answer.", { status: 0, code: "no_answer" });
    }
    return { data, status: response.status, etag: response.headers.get("etag") };
  }

  #headers(method: Method, options: Loose): Record<string, string> {
    const headers: Record<string, string> = { accept: "application/json" };
    if (options.ifMatch !== undefined) headers["if-match"] = options.ifMatch;
    if (options.ifNone === true) headers["if-none-match"] = "*";
    if (options.body !== undefined) headers["content-type"] = "application/json";
    if (method === "get") return headers;
    headers["idempotency-key"] = options.key ?? newKey();
    if (this.csrf !== null) headers["x-csrf-token"] = this.csrf;
    return headers;
  }

  async #problem(response: Response): Promise<ApiError> {
    const problem = await problemOf(response);
    if (problem.code === "unauthenticated") this.onSignedOut();
    return problem;
  }
}

function learnFrom(response: Response): void {
  const date = Date.parse(response.headers.get("date") ?? "");
  // The header counts whole seconds.
  if (!Number.isNaN(date)) learnOffset(date + 500, Date.now());
}

/** What to tell of a failure, in one sentence. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export const client = new Client((input, init) => fetch(input, init));
