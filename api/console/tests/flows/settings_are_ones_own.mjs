// One's own settings: preferences on a page, another password, one's other sessions, a token of one's own.
import assert from "node:assert/strict";

import { PASSWORD } from "../harness/service.mjs";

export const settings = { fleet: false };

export default async function ({ openAs, accessible, shoot }) {
  const { page, close } = await openAs("otto", "/settings");
  const other = await openAs("otto");
  await page.getByLabel("Theme").selectOption("light");
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "light");
  await page.getByText("otto, operator. You see").or(page.getByText("You see")).first().waitFor();
  await shoot(page, "settings");
  await accessible(page, "settings");

  const fill = async (current, password, again) => {
    await page.getByLabel("Current password").fill(current);
    await page.getByLabel("New password", { exact: true }).fill(password);
    await page.getByLabel("New password, once more").fill(again);
    await page.getByRole("button", { name: "Change the password" }).click();
  };
  await fill("something else", "another long password", "another long one");
  await page.getByText("The two passwords differ.").waitFor();
  await fill("something else", "another long password", "another long password");
  await page.getByText("This is not your current password.").waitFor();
  await accessible(page, "a wrong password");
  await fill(PASSWORD, "another long password", "another long password");
  await page.getByText("Your password is changed").waitFor();
  await other.page.getByRole("dialog", { name: "Your session has ended" }).waitFor();
  await other.close();

  // A token of one's own is for an operator too.
  await page.getByRole("button", { name: "Make a token" }).click();
  const dialog = page.getByRole("dialog", { name: "Make a token" });
  assert.equal(await dialog.getByLabel("Whose").count(), 0);
  assert.equal(await dialog.getByRole("option", { name: /Admin/ }).count(), 0, "no more than one may oneself");
  await dialog.getByLabel("Name").fill("script");
  await dialog.getByRole("button", { name: "Make" }).click();
  await page.getByRole("dialog", { name: "The token" }).getByRole("button", { name: "I have it" }).click();
  await page.getByRole("cell", { name: "script", exact: true }).waitFor();
  await close();
}
