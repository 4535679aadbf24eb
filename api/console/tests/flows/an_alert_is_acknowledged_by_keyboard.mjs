// From the keyboard alone: to an alert, acknowledged, taken back, and its page with all that happened.
import assert from "node:assert/strict";

import { LABELS } from "../harness/fleet.mjs";
import { alertRow } from "../harness/rows.mjs";

const DEVICE = "freezer-03";

export const settings = {
  rules: `
[[rule]]
name = "freezer-too-warm"
when = "temperature > limit"
clear = "temperature < limit - 2"
severity = "critical"
params = { limit = -15.0, runbook = "https://wiki.example/warm" }
summary = "{device} is at {value} °C, see {param:runbook}"
${LABELS}`,
};

export default async function ({ openAs, fleet, live, accessible, shoot, url }) {
  const { page, close } = await openAs("otto", "/", { colorScheme: "dark" });
  fleet.warm(DEVICE);
  const row = alertRow(page, DEVICE, "firing");
  await row.waitFor();
  const runbook = row.getByRole("link", { name: /^Runbook/ });
  assert.equal(await runbook.getAttribute("href"), "https://wiki.example/warm");
  await row.getByText("freezer-03 is at -5 °C", { exact: true }).waitFor();
  await page.keyboard.press("j");
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), DEVICE, "the focus goes along");
  await page.keyboard.press("a");
  await row.getByTitle("Acknowledged").getByText("otto").waitFor();
  await page.getByText("1 alert acknowledged").waitFor();
  await shoot(page, "acknowledged");
  await page.getByRole("button", { name: "Undo" }).click();
  await row.getByTitle("Acknowledged").waitFor({ state: "detached" });

  await page.keyboard.press("c");
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Comment").fill("A valve is stuck");
  await accessible(page, "the dialog of a comment");
  await dialog.getByText("Ctrl+Enter sends it.").waitFor();
  await page.keyboard.press("Control+Enter");
  await dialog.waitFor({ state: "detached" });

  await page.keyboard.press("s");
  await dialog.getByText("1 h", { exact: true }).click();
  await dialog.getByText("Quiets this alert only, and not if it gets worse. A silence mutes").waitFor();
  await accessible(page, "the dialog of a snooze");
  await shoot(page, "snooze");
  await dialog.getByRole("button", { name: "Snooze" }).click();
  const hidden = page.getByRole("button", { name: /1 snoozed, hidden/ });
  await hidden.waitFor();
  assert.equal(await row.count(), 0, "a snoozed alert is out of the way");
  assert.match(await page.title(), /^Bellwire/, "and does not count");
  await hidden.click();
  await row.getByText(/snoozed until/).waitFor();
  await page.waitForURL(/show=snoozed/);

  await page.keyboard.press("k");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/alerts\/[0-9a-f]{16}/);
  const timeline = page.getByRole("list", { name: "Timeline" });
  for (const step of ["firing", "acknowledged", "unacknowledged", "commented", "snoozed"]) {
    await timeline.locator(`[data-step="${step}"]`).waitFor();
  }
  await timeline.getByText("A valve is stuck").waitFor();
  await timeline.getByText("temperature -5 > -15").waitFor();
  await timeline.getByTitle("How long each step took").getByText("→ judged after").waitFor();
  await page.waitForFunction(() => document.querySelector(".chart")?.ariaLabel.includes("limit -15"));
  await page.locator(".chart").press("End");
  await page.locator(".readout strong", { hasText: "-5" }).waitFor();
  await page.locator(".chart").press("Escape");
  await page.locator(".readout strong").waitFor({ state: "detached" });
  await page.keyboard.press("w");
  await timeline.locator('[data-step="snooze_ended"]').waitFor();
  await page.keyboard.press("m");
  await timeline.getByText("took it").waitFor();
  await page.getByText("Ctrl+Enter sends it.").waitFor();
  await page.keyboard.press("c");
  await page.keyboard.type("Mended");
  await page.keyboard.press("Control+Enter");
  await timeline.getByText("Mended").waitFor();
  await shoot(page, "alert-page");
  await accessible(page, "one alert");

  fleet.cool(DEVICE);
  await timeline.locator('[data-step="resolved"]').waitFor();
  await page.getByText("resolved, not acknowledged").waitFor();
  await page.keyboard.press("Escape");
  await page.evaluate(() => document.activeElement?.blur());
  await page.keyboard.press("a");
  await page.locator('.title[data-state="resolved"]').getByText("resolved", { exact: true }).waitFor();
  await timeline.locator('[data-step="unlatched"]').getByText("acknowledged it").waitFor();
  const [, id] = /alerts\/([0-9a-f]+)/.exec(page.url());
  await page.reload();
  await live(page);
  await timeline.getByText("A valve is stuck").waitFor();
  assert.equal(await page.getByRole("toolbar").count(), 0, "of what is over nothing can be done");
  await shoot(page, "alert-page-over");

  await page.goto(`${url}/?alert=${id}`);
  await page.waitForURL(new RegExp(`/alerts/${id}$`));
  await close();

  const viewer = await openAs("vera", `/alerts/${id}`);
  await viewer.page.getByRole("list", { name: "Timeline" }).getByText("Mended").waitFor();
  await viewer.page.goto(`${url}/`);
  await live(viewer.page);
  assert.equal(await viewer.page.getByRole("checkbox").count(), 0, "who may only look chooses nothing");
  await viewer.close();
}
