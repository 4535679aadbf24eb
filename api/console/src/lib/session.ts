// Who is looking, as the service tells it, without a page: what has to be shown first, and what a
// role may do.
import type { Schemas } from "./client";

/** What has to be shown first. */
export type Gate = "open" | "sign_in" | "set_up";

/** Each may do what those before it may. */
export const ROLES = ["viewer", "operator", "admin"] as const;
export type Role = (typeof ROLES)[number];

/** Who is signed in. */
export interface Me {
  name: string;
  role: Role;
  /** The devices that they see, as `select` of a rule; null: all. */
  scope: string | null;
  csrf: string | null;
  /** When the session ends if nobody uses it, in ms since 1970. */
  expires_at: number | null;
}

/** What `GET /api/v1/session` means: its status, and the code of its problem. */
export function gateOf(status: number, code: unknown): Gate {
  if (status === 401) return "sign_in";
  if (status === 403 && code === "setup_needed") return "set_up";
  // Without credentials at all (`insecure`), and whatever else: the pages say what is wrong.
  return "open";
}

/** Reads an answer of `session`; null if nobody has to be signed in. */
export function meOf(body: Schemas["Me"]): Me | null {
  const role = ROLES.find((role) => role === body.role);
  if (role === undefined || body.via === "nothing") return null;
  const ends = Date.parse(body.expires_at ?? "");
  return {
    name: body.name,
    role,
    scope: body.scope ?? null,
    csrf: body.csrf ?? null,
    expires_at: Number.isNaN(ends) ? null : ends,
  };
}

/** Whether somebody may do what needs `role`. Where nobody signs in, everybody may do everything. */
export function mayDo(me: Me | null, role: Role): boolean {
  return me === null || ROLES.indexOf(me.role) >= ROLES.indexOf(role);
}
