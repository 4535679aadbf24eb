// What is done to a whole rule, from the list and from its own page: enabling, disabling, deleting, each
// with its way back.
import { client, type Schemas } from "../client";
import { confirm } from "../confirm.svelte";
import { plural } from "../format";
import { toasts } from "../toasts.svelte";
import { author } from "./draft.svelte";

type Rule = Schemas["Rule"];

/** The version that was seen, for `If-Match`. */
function seen({ revision }: Rule): string {
  return revision == null ? "*" : `"${revision}"`;
}

/** Enables or disables it, and offers to take that back. `changed` hears of each. */
export async function setEnabled(rule: Rule, enabled: boolean, etag: string | null, changed: () => void): Promise<void> {
  const { name } = rule;
  const options = { path: { name }, body: author(), ifMatch: etag ?? seen(rule) };
  try {
    if (enabled) await client.send("post", "/api/v1/rules/{name}/enable", options);
    else await client.send("post", "/api/v1/rules/{name}/disable", options);
    toasts.undo(`${name} is ${enabled ? "enabled" : "disabled"}`, () => void setEnabled(rule, !enabled, "*", changed));
  } catch (error) {
    toasts.fail(`${name} is not ${enabled ? "enabled" : "disabled"}`, error);
  }
  changed();
}

/** Deletes it if the reader says so; whether it is gone. */
export async function deleteRule(rule: Rule, n_alerts: number, etag: string | null): Promise<boolean> {
  const { name, revision } = rule;
  const open = n_alerts === 0 ? "" : ` ${plural(n_alerts, "open alert")} of it will be closed.`;
  const yes = await confirm({
    title: `Delete ${name}?`,
    text: `Nothing is judged by it any more.${open} Its versions are kept.`,
    action: "Delete",
    kind: "danger",
  });
  if (!yes) return false;
  try {
    await client.send("delete", "/api/v1/rules/{name}", { path: { name }, body: author(), ifMatch: etag ?? seen(rule) });
  } catch (error) {
    toasts.fail(`${name} is not deleted`, error);
    return false;
  }
  toasts.undo(`${name} is deleted`, () => void bringBack(name, revision ?? 1));
  return true;
}

async function bringBack(name: string, version: number): Promise<void> {
  try {
    await client.send("post", "/api/v1/rules/{name}/restore", { path: { name }, query: { version }, body: author(), ifMatch: "*" });
    toasts.tell(`${name} is back`);
  } catch (error) {
    toasts.fail(`${name} is not brought back`, error);
  }
}
