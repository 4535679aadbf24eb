// A payload that cannot be read appears; a mapping is tried on it until it fits; then it is replayed.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { NASTY } from "../harness/fleet.mjs";
import { scratch } from "../harness/scratch.mjs";
import { until } from "../harness/wait.mjs";

const topic = (format) => `[[mapping]]\ntopic = "devices/{device}/data"\nformat = "${format}"\n`;
const MAY = '[[acl]]\nwho = "user:gate"\naction = "publish"\ntopic = "devices/+/data"\nallow = true\n';
const folder = scratch({ "mappings.toml": topic("influx"), "bellwire.toml": MAY });
const file = join(folder, "mappings.toml");

export const settings = { env: { BELLWIRE_MAPPINGS: file, BELLWIRE_CONFIG: join(folder, "bellwire.toml") } };

export default async function ({ openAs, fleet, service, accessible, shoot, url, live }) {
  const { page, close } = await openAs("otto", "/quarantine");
  await page.getByText("Quarantine is empty").waitFor();
  await shoot(page, "quarantine-empty");
  await fleet.say("press-1", '{"pressure": 4.5, "oil": {"level": 80}}', "data");
  await fleet.say("press-1", '{"pressure": 4.6}', "data");
  await fleet.say("freezer-01", `{"temperature": ${NASTY}`);
  await fleet.say("freezer-01", Buffer.from([0xff, 0xfe, 0x00, 0x41, 0x42]));
  const rows = page.locator("[data-quarantined]");
  // It is asked for again and again.
  await rows.nth(3).waitFor();
  assert.equal(await rows.count(), 4);
  assert.equal(await page.evaluate(() => window.pwned), undefined, "a payload is text");
  await page.getByText("ff fe 00 41 42").waitFor();
  await shoot(page, "quarantine");
  await accessible(page, "quarantine");

  await page.getByRole("group", { name: "Reasons" }).getByRole("button", { name: /^bad line/ }).click();
  await page.waitForURL(/reason=bad_line/);
  await rows.nth(2).waitFor({ state: "detached" });
  assert.equal(await rows.count(), 2);
  await page.getByLabel("Device").fill("nobody");
  await page.getByLabel("Device").press("Enter");
  await page.getByText("Nothing in quarantine matches").waitFor();
  await page.getByRole("button", { name: "Show all" }).click();
  await rows.nth(3).waitFor();

  await page.goto(`${url}/quarantine?reason=bad_line`);
  await live(page);
  await rows.filter({ hasText: "oil" }).getByRole("button", { name: "Try a mapping" }).click();
  const dialog = page.getByRole("dialog", { name: "Try a mapping" });
  const toml = dialog.getByLabel("Mappings");
  assert.match(await toml.inputValue(), /devices\/\{device\}\/data/);
  await toml.fill(topic("jsn"));
  await dialog.getByRole("button", { name: "Try", exact: true }).click();
  await dialog.getByText(/Line 3, column 10:/).waitFor();
  await accessible(page, "a mapping with a mistake");
  await toml.fill(topic("influx"));
  await dialog.getByRole("button", { name: "Try", exact: true }).click();
  await dialog.getByText(/It would be in quarantine: bad line/).waitFor();
  await toml.fill(topic("json"));
  await dialog.getByRole("button", { name: "Try", exact: true }).click();
  await dialog.getByText("2 readings would be stored").waitFor();
  await dialog.getByRole("cell", { name: "oil.level" }).waitFor();
  await shoot(page, "try-a-mapping");
  await accessible(page, "a mapping that fits");
  await dialog.getByRole("button", { name: "Close" }).last().click();

  // Nothing can be read as the mappings are.
  const replay = page.getByRole("button", { name: /^Replay what is shown/ });
  await replay.click();
  const replaying = page.getByRole("dialog", { name: /^Replay bad line/ });
  await replaying.getByText("0 payloads").waitFor();
  await replaying.getByText("2 payloads would stay: bad line.").waitFor();
  assert.equal(await replaying.getByRole("button", { name: "Replay 0" }).isDisabled(), true);
  await replaying.getByRole("button", { name: "Cancel" }).click();
  writeFileSync(file, topic("json"));
  await until("the mappings are in force", () => service.log.includes("Read the mappings in"));
  await replay.click();
  await replaying.getByText("2 payloads").waitFor();
  await shoot(page, "replay");
  await accessible(page, "a replay");
  await replaying.getByRole("button", { name: "Replay 2" }).click();
  await page.getByText("2 payloads replayed, 3 readings stored").waitFor();
  await page.getByText("Nothing in quarantine matches").waitFor();
  await page.goto(`${url}/devices/press-1`);
  await page.locator('[data-metric="oil.level"]').waitFor();

  const viewer = await openAs("vera", "/quarantine");
  await viewer.page.locator("[data-quarantined]").first().waitFor();
  assert.equal(await viewer.page.getByRole("button", { name: /Replay|Try/ }).count(), 0, "a viewer looks");
  await viewer.close();
  await close();
}
