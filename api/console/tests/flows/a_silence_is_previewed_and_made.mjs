// What a silence would mute is shown before it is made; what it hides is counted, and one click
// shows it. Silences are changed, ended, copied, and planned.
import assert from "node:assert/strict";

import { alertRow } from "../harness/rows.mjs";

export default async function ({ openAs, fleet, live, accessible, shoot, service, url }) {
  const { page, close } = await openAs("otto", "/", { colorScheme: "dark" });
  for (const freezer of ["freezer-01", "freezer-02", "freezer-03"]) {
    fleet.warm(freezer);
    await alertRow(page, freezer, "firing").waitFor();
  }
  assert.match(await page.title(), /^3 critical/);
  await page.getByLabel("Choose all that match").check();
  await page.getByRole("button", { name: "Silence…" }).click();
  const dialog = page.getByRole("dialog", { name: "Silence alerts" });
  const matchers = dialog.getByLabel("Which alerts");
  assert.equal(await matchers.inputValue(), 'rule="freezer-too-warm", device=~"freezer-01|freezer-02|freezer-03"');
  await dialog.getByText("3 open alerts match").first().waitFor();
  await matchers.fill('device=~"freezer-0[12]"');
  await dialog.getByText("2 open alerts match").first().waitFor();
  await dialog.getByRole("button", { name: "Silence 2 alerts" }).click();
  await dialog.getByText("Say why").waitFor();
  await dialog.getByText("To quiet one alert, snooze it.").waitFor();
  await accessible(page, "the dialog of a silence");
  await dialog.getByLabel("Why").fill("The compressor is being replaced");
  await shoot(page, "silence-dialog");
  // Enter sends it as it stands, and takes no matcher away.
  await dialog.getByLabel("Why").press("Enter");
  await dialog.waitFor({ state: "detached" });

  const hidden = page.getByRole("button", { name: "2 silenced, hidden" });
  await hidden.waitFor();
  await alertRow(page, "freezer-01", "firing").waitFor({ state: "detached" });
  await page.waitForFunction(() => document.title.startsWith("1 critical"));
  await hidden.click();
  await alertRow(page, "freezer-01", "firing").getByText("silenced").waitFor();
  await shoot(page, "alerts-silenced-shown");
  await alertRow(page, "freezer-01", "firing").getByRole("link").first().click();
  const until = page.getByRole("region", { name: "Facts" }).getByRole("link", { name: /^until/ });
  await until.locator("xpath=..").getByText("by otto").waitFor();
  await accessible(page, "a silenced alert");
  await shoot(page, "alert-silenced");

  await page.keyboard.press("g");
  await page.keyboard.press("m");
  await page.getByRole("heading", { name: "Silences" }).waitFor();
  const card = page.locator("[data-silence]").filter({ hasText: "The compressor" });
  await card.getByText("hides 2 alerts").waitFor();
  await card.getByText("otto").waitFor();
  await shoot(page, "silences");
  await accessible(page, "the silences");
  await card.getByRole("link", { name: "Edit" }).click();
  await page.getByLabel("Which alerts").fill('device="freezer-01"');
  await page.getByText("1 open alert matches").first().waitFor();
  await shoot(page, "silence-edit");
  await page.getByRole("button", { name: "Save" }).click();
  await card.getByText("hides 1 alert").waitFor();
  await card.getByRole("button", { name: "End now" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "End it" }).click();
  await page.getByText("Nothing is silenced").waitFor();

  await page.getByRole("tab", { name: /Over/ }).click();
  await card.getByRole("link", { name: "Copy" }).click();
  await page.getByText("1 open alert matches").first().waitFor();
  assert.equal(await page.getByLabel("Why").inputValue(), "The compressor is being replaced");
  await page.getByLabel("Starts later").check();
  // What is typed is meant in the zone that times are shown in, whatever the machine's is.
  await page.evaluate(() => localStorage.setItem("bellwire-preferences", JSON.stringify({ zone: "site", siteZone: "Asia/Kolkata" })));
  await page.reload();
  await page.getByText("1 open alert matches").first().waitFor();
  await page.getByLabel("Starts later").check();
  await page.getByText("In the time zone Asia/Kolkata.").waitFor();
  await page.getByLabel("Starts", { exact: true }).fill("2036-01-15T17:30");
  await page.getByRole("button", { name: "Plan the silence" }).click();
  await page.getByRole("heading", { name: "Silences" }).waitFor();
  const planned = (await service.api("GET", "silences?state=pending")).silences.map(({ starts_at }) => Date.parse(starts_at));
  assert.deepEqual(planned, [Date.parse("2036-01-15T12:00:00Z")]);
  await card.getByText(/starts in \d/).waitFor();
  await page.getByRole("button", { name: "Undo" }).last().click();
  await page.getByText("None is planned").waitFor();

  // From a device's page, for its alerts.
  await page.goto(`${url}/devices/freezer-02`);
  await page.getByRole("button", { name: "More" }).click();
  await page.getByRole("menuitem", { name: "Silence…" }).click();
  await page.getByLabel("Why").waitFor();
  assert.equal(await page.getByLabel("Which alerts").inputValue(), 'device="freezer-02"');
  await close();

  // Another's silence shows here, with its author.
  const viewer = await openAs("vera", "/silences");
  await viewer.page.getByText("Nothing is silenced").waitFor();
  assert.equal(await viewer.page.getByRole("link", { name: "New silence" }).count(), 0);
  await service.api("POST", "silences", { matchers: 'device="freezer-02"', reason: "From elsewhere", for: "1h" });
  await viewer.page.getByText("From elsewhere").waitFor();
  await viewer.page.getByText("1 alert is silenced now").waitFor();
  await viewer.page.goto(`${url}/silences/new`);
  await live(viewer.page);
  await viewer.page.getByText("This page needs another role").waitFor();
  await viewer.close();
}
