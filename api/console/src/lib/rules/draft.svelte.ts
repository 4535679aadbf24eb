// A rule that is being written: its text, what the service says of it, and who else changes it meanwhile.
import { ApiError, client, messageOf, type Schemas } from "../client";
import { confirm } from "../confirm.svelte";
import { router } from "../router.svelte";
import { session } from "../session.svelte";
import { seen } from "./seen";

export type Detail = Schemas["RuleDetail"];
export type Mistake = Schemas["RuleMistake"];
export type Effect = Schemas["RuleCheck"];

/** How long one must not write before the service is asked. */
const REST_MS = 250;

/** What the service says of the text. */
export type Verdict =
  | { is: "asking" }
  | { is: "right"; effect: Effect }
  | { is: "wrong"; mistakes: Mistake[] }
  /** It could not be asked, or does not say. */
  | { is: "unknown"; why: string };

/** Somebody else was faster. */
export interface Conflict {
  rule: Detail;
  etag: string | null;
  /** It was told by a save that was refused; else it was only seen. */
  refused: boolean;
}

/** Who changes it, for the versions; the audit log knows it anyway. */
export function author(): { author?: string } {
  return session.me === null ? {} : { author: session.me.name };
}

export class Draft {
  text = $state("");
  /** As it is kept; empty for a new one. */
  base = $state("");
  etag = $state<string | null>(null);
  verdict = $state.raw<Verdict>({ is: "asking" });
  conflict = $state.raw<Conflict | null>(null);
  saving = $state(false);
  failure = $state.raw<unknown>(null);
  readonly dirty = $derived(this.text !== this.base);
  /** The rule that is changed; null: it is made. */
  readonly name: string | null;
  /** The change that the base is of. */
  #revision: number | null = null;
  #asked: AbortController | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(name: string | null, text: string) {
    this.name = name;
    this.text = text;
  }

  /** Takes the rule as it is kept: into the text too, unless somebody has written in it. */
  take({ toml, revision }: Detail, etag: string | null): void {
    if (!this.dirty) this.text = toml;
    this.base = toml;
    this.etag = etag;
    this.#revision = revision ?? null;
    this.conflict = null;
  }

  /** The rule was seen as it is now. */
  see(rule: Detail, etag: string | null): void {
    const draft = { text: this.text, toml: this.base, revision: this.#revision };
    const what = seen(draft, { toml: rule.toml, revision: rule.revision ?? null });
    if (what === "conflict") this.conflict = { rule, etag, refused: this.conflict?.refused ?? false };
    else if (what === "take") this.take(rule, etag);
  }

  /** What is written counts, and comes behind the other's change. */
  keepMine(): void {
    if (this.conflict === null) return;
    // It differs from what is kept, so that the text stays.
    this.take(this.conflict.rule, this.conflict.etag);
  }

  takeTheirs(): void {
    if (this.conflict === null) return;
    const { rule, etag } = this.conflict;
    this.text = rule.toml;
    this.take(rule, etag);
  }

  /** Asks the service what it says of the text, a moment later; the returned function gives up. */
  check(): () => void {
    const toml = this.text;
    clearTimeout(this.#timer);
    this.#asked?.abort();
    this.#timer = setTimeout(() => void this.#ask(toml), REST_MS);
    return () => clearTimeout(this.#timer);
  }

  async #ask(toml: string): Promise<void> {
    const controller = new AbortController();
    this.#asked = controller;
    try {
      const { data } = await client.send("post", "/api/v1/rules/check", { body: { toml }, signal: controller.signal });
      this.verdict = "errors" in data ? { is: "wrong", mistakes: data.errors } : { is: "right", effect: data };
    } catch (error) {
      if (!controller.signal.aborted) this.verdict = { is: "unknown", why: messageOf(error) };
    }
  }

  /** Keeps it. The name that it has then; null if it was not kept, and `conflict`, `verdict` or `failure` say why. */
  async save(comment: string, enabled: boolean): Promise<string | null> {
    this.saving = true;
    this.failure = null;
    const body = { toml: this.text, comment: comment === "" ? null : comment, ...author() };
    try {
      const { data, etag } =
        this.name === null
          ? await client.send("post", "/api/v1/rules", { body: { ...body, enabled } })
          : await client.send("put", "/api/v1/rules/{name}", { path: { name: this.name }, body, ifMatch: this.etag ?? "*" });
      this.base = body.toml;
      this.etag = etag;
      this.#revision = data.revision ?? null;
      return data.name;
    } catch (error) {
      await this.#refused(error);
      return null;
    } finally {
      this.saving = false;
    }
  }

  async #refused(error: unknown): Promise<void> {
    const code = error instanceof ApiError ? error.code : null;
    if (code === "invalid_rule") {
      this.verdict = { is: "wrong", mistakes: (error as ApiError).errors as unknown as Mistake[] };
    } else if (code === "rule_changed" && this.name !== null) {
      try {
        const { data, etag } = await client.look("/api/v1/rules/{name}", { path: { name: this.name } });
        this.conflict = { rule: data, etag, refused: true };
      } catch (again) {
        this.failure = again;
      }
    } else this.failure = error;
  }
}

/** What is written is not lost by going elsewhere, until the returned function is called. */
export function keepSafe(draft: Draft): () => void {
  const unload = (event: BeforeUnloadEvent): void => {
    if (draft.dirty) event.preventDefault();
  };
  addEventListener("beforeunload", unload);
  const stop = router.guard(async () => {
    const text = `What you have written in ${draft.name ?? "the new rule"} is not saved, and is gone if you leave.`;
    return !draft.dirty || (await confirm({ title: "Leave without saving?", text, action: "Leave", kind: "danger" }));
  });
  return () => {
    removeEventListener("beforeunload", unload);
    stop();
  };
}
