// An admin adds somebody who sees a part of the fleet, gives a program a token and takes it back, and
// finds all of it in the audit log.
import assert from "node:assert/strict";

import { PASSWORD } from "../harness/service.mjs";
import { deviceRow } from "../harness/rows.mjs";

const bearer = (token) => ({ headers: { authorization: `Bearer ${token}` } });

export default async function ({ openAs, accessible, shoot, url, live }) {
  const { page, close } = await openAs("ada", "/people");
  const row = (name) => page.locator(`[data-row="${name}"]`);
  const dialog = page.getByRole("dialog");
  const menu = async (name, item) => {
    await page.getByRole("button", { name: `Actions for ${name}` }).click();
    await page.getByRole("menuitem", { name: item }).click();
  };
  await row("vera").waitFor();

  await page.getByRole("button", { name: "Add a user" }).click();
  await dialog.waitFor();
  // The first field has the focus.
  await page.keyboard.type("nina");
  await dialog.getByLabel("Password").fill("aaaaaaaaaaaaaa");
  await dialog.getByLabel("Scope").fill("site is berlin");
  await dialog.getByRole("button", { name: "Add" }).click();
  await dialog.getByRole("alert").first().waitFor();
  await accessible(page, "a user that cannot be");
  await dialog.getByLabel("Password").fill(PASSWORD);
  await dialog.getByRole("button", { name: "Add" }).click();
  await dialog.getByText(/`scope`:/).waitFor();
  await dialog.getByLabel("Scope").fill("site = 'berlin'");
  await dialog.getByRole("button", { name: "Add" }).click();
  await row("nina").getByText("site = 'berlin'").waitFor();
  await shoot(page, "people");
  await accessible(page, "people");

  // She sees what is hers, and nothing of these pages.
  const nina = await openAs("nina", "/devices");
  await deviceRow(nina.page, "freezer-01").waitFor();
  assert.equal(await deviceRow(nina.page, "pump-01").count(), 0, "outside of her scope");
  assert.equal(await nina.page.getByRole("link", { name: "People" }).count(), 0);
  await nina.page.goto(`${url}/people`);
  await nina.page.getByText("This page needs another role").waitFor();
  await nina.page.goto(`${url}/devices`);
  await live(nina.page);

  // Her role changes, then she is disabled: her open page says that the session is over.
  await page.getByRole("button", { name: "Actions for vera" }).click();
  await shoot(page, "people-menu");
  await accessible(page, "the menu of a user");
  await page.keyboard.press("Escape");
  await menu("nina", "Change role and scope…");
  await dialog.getByLabel("Role").selectOption("operator");
  await dialog.getByRole("button", { name: "Change" }).click();
  await row("nina").getByText("operator").waitFor();
  await menu("nina", "Disable…");
  await dialog.getByRole("button", { name: "Disable" }).click();
  await row("nina").getByText("disabled").waitFor();
  await nina.page.getByRole("dialog", { name: "Your session has ended" }).waitFor();
  await nina.close();

  // A token is shown once, and stops when it is revoked.
  await page.getByRole("tab", { name: /Tokens/ }).click();
  await page.waitForURL(/tab=tokens/);
  await page.getByRole("button", { name: "Make a token" }).click();
  await dialog.getByLabel("Name").fill("grafana");
  await dialog.getByLabel("Scope").fill("kind = 'freezer'");
  await dialog.getByRole("button", { name: "Make" }).click();
  const token = await dialog.getByLabel("Token").inputValue();
  await dialog.getByRole("button", { name: "Copy" }).click();
  await dialog.getByText("Copied.").waitFor();
  await accessible(page, "a token");
  await shoot(page, "token");
  await dialog.getByRole("button", { name: "I have it" }).click();
  const asked = await fetch(`${url}/api/v1/devices`, bearer(token));
  const { devices } = await asked.json();
  assert.ok(devices.length > 0 && devices.every(({ device }) => device.startsWith("freezer")), "the token's scope");
  await page.getByRole("cell", { name: "grafana", exact: true }).waitFor();
  assert.equal((await page.content()).includes(token), false, "it is shown once");
  await page.getByRole("button", { name: "Revoke grafana" }).click();
  await dialog.getByRole("button", { name: "Revoke" }).click();
  await page.getByText("There are no tokens").waitFor();
  assert.equal((await fetch(`${url}/api/v1/devices`, bearer(token))).status, 401);

  // Somebody's session is ended.
  const otto = await openAs("otto");
  await page.getByRole("tab", { name: /Sessions/ }).click();
  await page.getByRole("button", { name: "End this session of otto" }).click();
  await otto.page.getByRole("dialog", { name: "Your session has ended" }).waitFor();
  await otto.close();
  await shoot(page, "sessions");
  await accessible(page, "sessions");

  await page.getByRole("tab", { name: /Users/ }).click();
  await menu("nina", "Delete…");
  await dialog.getByRole("button", { name: "Delete" }).click();
  await row("nina").waitFor({ state: "detached" });

  // All of it is in the audit log.
  await page.getByRole("link", { name: "Audit log" }).click();
  const line = (action, target) => page.locator(`[data-audit="${action}"][data-target="${target}"]`);
  for (const action of ["user.create", "user.update", "user.delete"]) await line(action, "nina").first().waitFor();
  await line("token.create", "").or(page.locator('[data-audit="token.create"]')).first().waitFor();
  const update = line("user.update", "nina").last();
  await update.getByRole("button", { name: "What changed" }).click();
  await update.locator("del", { hasText: "viewer" }).waitFor();
  await update.locator("ins", { hasText: "operator" }).waitFor();
  await shoot(page, "audit-log");
  await accessible(page, "audit log");
  await page.getByLabel("Action").fill("token.*");
  await page.getByLabel("Action").press("Enter");
  await page.waitForURL(/action=token/);
  await line("user.create", "nina").waitFor({ state: "detached" });
  assert.equal(await page.locator("[data-audit]").count(), 2);
  await page.getByLabel("Who").fill("somebody");
  await page.getByLabel("Who").press("Enter");
  await page.getByText("Nothing matches").waitFor();
  assert.equal((await page.content()).includes(PASSWORD), false);
  await close();
}
