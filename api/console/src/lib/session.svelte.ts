// The session of this page: who is signed in, that it is over, and signing in again without losing
// what one was doing.
import { ApiError, client, messageOf } from "./client";
import { serverNow } from "./clock";
import { type Gate, gateOf, type Me, mayDo, meOf, type Role } from "./session";
import { toasts } from "./toasts.svelte";

/** A timer takes no more than 24 days; the session is asked for again long before. */
const ASK_AGAIN_MAX_MS = 60 * 60_000;

/** What signing in takes. */
export type Credentials = { name: string; password: string };

class Session {
  gate = $state<Gate>("open");
  /** Who is signed in; null where nobody has to be. */
  me = $state.raw<Me | null>(null);
  /** The session has ended while the page was open. */
  over = $state(false);
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    client.onSignedOut = () => {
      if (this.me !== null) this.over = true;
    };
  }

  /** Whether who is signed in may do what needs this role. */
  may(role: Role): boolean {
    return mayDo(this.me, role);
  }

  /** Asks the service who this is; a service that does not answer is for the pages to tell of. */
  async ask(): Promise<void> {
    try {
      this.#take(meOf(await client.get("/api/v1/session")));
    } catch (error) {
      const known = error instanceof ApiError ? error : null;
      if (this.me === null) this.gate = gateOf(known?.status ?? 0, known?.code);
      else this.#askLater();
    }
  }

  /** Signs in. Gives what went wrong, null if nothing did. */
  signIn(body: Credentials): Promise<string | null> {
    return this.#enter(async () => (await client.send("post", "/api/v1/session", { body })).data);
  }

  /** Makes the first admin, who is signed in with it. */
  setUp(body: Credentials & { code: string }): Promise<string | null> {
    return this.#enter(async () => (await client.send("post", "/api/v1/setup", { body })).data);
  }

  /** Ends the session, here and at the service. */
  async leave(): Promise<void> {
    try {
      await client.send("delete", "/api/v1/session");
    } catch (error) {
      const isOver = error instanceof ApiError && error.status === 401;
      if (!isOver) return toasts.fail("You are still signed in", error);
    }
    // What still asks is refused now; the page to sign in is on its way.
    client.onSignedOut = () => undefined;
    location.assign("/");
  }

  async #enter(ask: () => Promise<Parameters<typeof meOf>[0]>): Promise<string | null> {
    try {
      const me = meOf(await ask());
      // What is on the page may be another's to see.
      if (this.me === null || this.me.name !== me?.name || this.me.role !== me.role) location.reload();
      else this.#take(me);
      return null;
    } catch (error) {
      return messageOf(error);
    }
  }

  #take(me: Me | null): void {
    this.me = me;
    this.gate = "open";
    this.over = false;
    client.csrf = me?.csrf ?? null;
    this.#askLater();
  }

  /** Asks again when the session would be over if it was not used. */
  #askLater(): void {
    clearTimeout(this.#timer);
    const ends = this.me?.expires_at ?? null;
    if (ends === null) return;
    const wait = Math.min(Math.max(ends - serverNow() + 1_000, 5_000), ASK_AGAIN_MAX_MS);
    this.#timer = setTimeout(() => void this.ask(), wait);
  }
}

export const session = new Session();

/** Whether an OpenID provider signs people in too. */
export async function hasProvider(): Promise<boolean> {
  try {
    return (await client.get("/api/v1/session/ways")).oidc;
  } catch {
    return false;
  }
}
