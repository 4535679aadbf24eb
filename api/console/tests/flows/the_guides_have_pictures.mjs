// The pages of a fleet in trouble, as the guides show them. With `BELLWIRE_PICTURES` (`npm run pictures`) their pictures
// are written; without it, only whether all of it is there is looked at.
import { once } from "node:events";
import { createServer } from "node:http";
import { join } from "node:path";

import { PHONE, picture } from "../harness/browser.mjs";
import { alertRow } from "../harness/rows.mjs";
import { textOf } from "../harness/rules.mjs";
import { scratch } from "../harness/scratch.mjs";
import { RULES, Site } from "../harness/site.mjs";

const receiver = createServer((request, response) => request.resume().on("end", () => response.end("ok"))).listen(0, "127.0.0.1");
await once(receiver, "listening");
receiver.unref();

const config = `
[[channel]]
name = "on-call"
type = "webhook"
url = "http://127.0.0.1:${receiver.address().port}/"

[[route]]
alerts = 'severity="critical"'
channels = ["on-call"]
group_wait_s = 0
group_by = ["..."]
`;
const folder = scratch({ "bellwire.toml": config });

export const settings = {
  rules: RULES,
  fleet: false,
  people: { ada: "admin", otto: "operator", mia: "operator" },
  env: { BELLWIRE_CONFIG: join(folder, "bellwire.toml") },
};

/** Payloads that nobody can read. */
const BROKEN = [
  ["turin-oven-1", '{"temperature": 214.5, "humidity": '],
  ["bonn-pump-2", "ERR 17: sensor not ready"],
  ["lyon-oven-2", Buffer.from([0x0a, 0x03, 0xff, 0xfe, 0x41, 0xc8, 0x00, 0x00])],
  ["berlin-freezer-06", '{"ts": "2031-05-01T12:00:00Z", "temperature": -20.1}'],
];

export default async function ({ openAs, fleet, service, url, live, accessible }) {
  const site = new Site(service, fleet);
  await site.begin();
  const options = { timezoneId: "Europe/Berlin" };
  const mia = await openAs("mia", "/", options);
  const { page, close } = await openAs("otto", "/", options);
  await handle(mia.page, url);

  const go = async (path, height = 800) => {
    await page.setViewportSize({ width: 1280, height });
    await page.goto(url + path);
    await live(page);
    await page.locator('#main [aria-busy="true"]').first().waitFor({ state: "detached" });
  };
  await go("/");
  await alertRow(page, "turin-freezer-03", "firing").waitFor();
  await page.locator("[data-alert] polyline, [data-alert] .spark path").nth(8).waitFor();
  await picture(page, "alerts");
  await accessible(page, "the alerts of a fleet");

  await page.getByLabel("Choose all that match").waitFor();
  for (const device of ["turin-freezer-01", "turin-freezer-02", "turin-freezer-03"]) {
    await page.getByLabel(`Choose freezer-too-warm on ${device}`).check();
  }
  await page.getByRole("button", { name: "Silence…" }).click();
  const dialog = page.getByRole("dialog", { name: "Silence alerts" });
  await dialog.getByLabel("Which alerts").fill('site="turin", kind="freezer"');
  await dialog.getByLabel("Why").fill("The electrician is at the switchboard");
  await dialog.getByRole("button", { name: "Silence 3 alerts" }).waitFor();
  await picture(page, "silence");
  await dialog.getByRole("button", { name: "Cancel" }).click();

  await go("/", 900);
  await alertRow(page, "turin-freezer-03", "firing").getByRole("link").first().click();
  await page.getByRole("list", { name: "Timeline" }).getByText("→ judged after").first().waitFor();
  await page.getByText("on-call").first().waitFor();
  await page.locator(".chart canvas").waitFor();
  await picture(page, "alert");
  await accessible(page, "an alert of a fleet");

  await go("/devices/berlin-freezer-02?range=24h&m=temperature", 880);
  await page.locator(".chart canvas").waitFor();
  await picture(page, "device");
  await accessible(page, "a device with a day of readings");

  for (const [device, payload] of BROKEN) await fleet.say(device, payload);
  await go("/quarantine", 640);
  await page.locator("[data-quarantined]").nth(3).waitFor();
  await picture(page, "quarantine");

  await go("/health");
  await page.getByText("the last seconds").first().waitFor();
  // Until each figure is of something that happened between two looks.
  site.unsettle(["berlin-freezer-01", "bonn-freezer-02"]);
  await page.getByText("since the start").first().waitFor({ state: "detached" });
  await picture(page, "health");
  site.unsettle([]);
  await close();
  await mia.close();

  await rule(openAs, service, options);
  await dark(openAs, options);
  await phone(openAs, options);
  site.end();
}

/** What a colleague has done meanwhile. */
async function handle(page, url) {
  const open = async (device) => {
    await page.goto(url);
    await alertRow(page, device, "firing").getByRole("link").first().click();
    await page.getByRole("toolbar").waitFor();
  };
  await open("lyon-freezer-01");
  await page.getByRole("button", { name: "Acknowledge" }).click();
  await page.getByRole("button", { name: "Unacknowledge" }).waitFor();
  await open("turin-freezer-03");
  await page.getByRole("button", { name: "Acknowledge" }).click();
  await page.getByRole("button", { name: "Unacknowledge" }).waitFor();
  await page.getByLabel("Comment").fill("The whole cold store is without power. The grid operator knows.");
  await page.keyboard.press("Control+Enter");
  await page.getByRole("list", { name: "Timeline" }).getByText("grid operator knows").waitFor();
}

const OVENS = `[[rule]]
name = "oven-too-hot"
when = "avg(temperature, 5m) > limit"
clear = "avg(temperature, 5m) < limit - 3"
for = "4m"
severity = "critical"
select = "kind = 'oven'"
params = { limit = 225 }
summary = "Too hot: {value} °C"
`;

/** A rule that is changed, with what the change would have meant yesterday. */
async function rule(openAs, service, options) {
  await service.api("POST", "rules", { toml: OVENS, author: "ada" });
  const { page, close } = await openAs("ada", "/rules/oven-too-hot", { ...options, viewport: { width: 1280, height: 950 } });
  await textOf(page).fill(OVENS.replace("limit = 225", "limit = 220"));
  await page.getByText("Valid: ").waitFor();
  const panel = page.getByRole("region", { name: "Backtest" });
  await panel.getByRole("button", { name: "Run backtest" }).click();
  await panel.getByText("Against the rule in force").waitFor();
  await picture(page, "rule");
  await close();
}

async function dark(openAs, options) {
  const { page, close } = await openAs("otto", "/devices?by=kind", { ...options, colorScheme: "dark" });
  await page.locator("[data-row]").nth(5).getByText("temperature").waitFor();
  await picture(page, "devices-dark");
  await close();
}

async function phone(openAs, options) {
  const { page, close } = await openAs("otto", "/", { ...options, viewport: PHONE, deviceScaleFactor: 2 });
  await alertRow(page, "lyon-freezer-03", "firing").waitFor();
  await picture(page, "phone");
  await close();
}
