// Metrics together and one above the other, a drag that zooms, buttons that move, the cursor's readout
// by keys, the reader's time zone, and the file of what is shown.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { PHONE } from "../harness/browser.mjs";

const labelOf = (page) => page.locator(".chart").first().getAttribute("aria-label");

export default async function ({ openAs, fleet, live, accessible, shoot, url }) {
  const { page, close } = await openAs("vera", "/devices/pump-01");
  let n_asked = 0;
  page.on("request", (request) => (n_asked += Number(request.url().includes("/readings?"))));
  await page.locator('[data-metric="speed"]').click();
  await page.waitForURL(/m=pressure%2Cspeed/);
  await page.waitForFunction(() => /pressure.*now 4\.2.*speed.*now 1450/.test(document.querySelector(".chart")?.ariaLabel ?? ""));
  await page.getByRole("button", { name: "Stacked" }).click();
  await page.waitForFunction(() => document.querySelectorAll(".chart canvas").length === 2);
  await shoot(page, "device-stacked");
  await accessible(page, "stacked charts");
  await page.getByRole("button", { name: "Stacked" }).click();
  await page.waitForFunction(() => document.querySelectorAll(".chart canvas").length === 1);

  const chart = page.locator(".chart");
  await chart.press("End");
  await page.locator(".readout strong", { hasText: "1450" }).waitFor();
  await chart.press("Escape");
  await page.locator(".readout strong").first().waitFor({ state: "detached" });

  assert.ok(n_asked <= 12, `a live chart asks for its history once, not ${n_asked} times`);

  const box = await page.locator(".chart canvas").boundingBox();
  await page.mouse.move(box.x + box.width * 0.7, box.y + 80);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.9, box.y + 90, { steps: 4 });
  await page.mouse.up();
  await page.waitForURL(/range=20\d\d-.*\.\.20\d\d-/);
  await page.getByRole("button", { name: "Back to now" }).waitFor();
  assert.match(await labelOf(page), /m until/);
  const range = () => new URL(page.url()).searchParams.get("range").split("..").map(Date.parse);
  const [from, to] = range();
  assert.ok(to - from > 60_000 && to - from < 6 * 60_000, `a fifth of a quarter of an hour is ${to - from} ms`);
  await page.getByRole("button", { name: "Earlier" }).click();
  await page.waitForFunction((from) => Date.parse(new URL(location.href).searchParams.get("range").split("..")[0]) < from, from);
  await page.getByRole("button", { name: "Back to now" }).click();
  await page.waitForURL((url) => !url.searchParams.has("range"));

  // From – to means the clocks of the zone that times are shown in.
  await page.evaluate(() => localStorage.setItem("bellwire-preferences", JSON.stringify({ zone: "site", siteZone: "Asia/Kolkata" })));
  await page.reload();
  await live(page);
  await page.getByRole("button", { name: "From – to" }).click();
  await page.getByText("In the time zone Asia/Kolkata.").first().waitFor();
  await page.getByLabel("From", { exact: true }).fill("2026-01-15T17:30");
  await page.getByLabel("To", { exact: true }).fill("2026-01-15T18:30");
  await page.getByRole("button", { name: "Show" }).click();
  await page.waitForURL((url) => url.searchParams.get("range") === "2026-01-15T12:00:00.000Z..2026-01-15T13:00:00.000Z");
  await page.getByText("Nothing in the").waitFor();
  await page.getByRole("button", { name: "Back to now" }).click();

  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Export CSV" }).click()]);
  assert.equal(file.suggestedFilename(), "pump-01-readings.csv");
  const text = readFileSync(await file.path(), "utf8");
  assert.match(text, /^at,metric,value,text\r\n/);
  assert.match(text, /,pressure,4\.2,/, file.url());

  // An alert's episode is a stripe, and has its name under the cursor.
  fleet.warm("freezer-01");
  await page.goto(`${url}/devices/freezer-01`);
  await page.locator('[data-alert][data-state="firing"]').waitFor();
  await page.waitForFunction(() => /now -5/.test(document.querySelector(".chart")?.ariaLabel ?? ""));
  await page.locator(".chart").press("End");
  await page.locator(".readout").getByText("freezer-too-warm").waitFor();
  await shoot(page, "device-alert");
  await page.locator('[data-metric="temperature"]').waitFor();
  await close();

  await fingers(await openAs("vera", "/devices/pump-01", { viewport: PHONE, hasTouch: true }), accessible);
}

/** Two fingers that move apart show less time; one that moves down scrolls the page. */
async function fingers({ page, close }, accessible) {
  const canvas = page.locator(".chart canvas");
  await canvas.scrollIntoViewIfNeeded();
  const box = await canvas.boundingBox();
  const session = await page.context().newCDPSession(page);
  const touch = (type, ...places) => session.send("Input.dispatchTouchEvent", { type, touchPoints: places.map(([x, y], id) => ({ x, y, id })) });
  const y = box.y + box.height / 2;
  const x = (share) => box.x + box.width * share;
  await touch("touchStart", [x(0.5), y], [x(0.7), y]);
  for (const by of [0.05, 0.1, 0.15]) await touch("touchMove", [x(0.5 - by), y], [x(0.7 + by), y]);
  await touch("touchEnd");
  await page.waitForURL(/range=20\d\d-.*\.\.20\d\d-/);
  const [from, to] = new URL(page.url()).searchParams.get("range").split("..").map(Date.parse);
  assert.ok(to - from > 3 * 60_000 && to - from < 9 * 60_000, `two fifths of a quarter of an hour are ${to - from} ms`);
  await accessible(page, "a chart under fingers");

  const top = () => page.evaluate(() => document.getElementById("main").scrollTop);
  const before = await top();
  await touch("touchStart", [x(0.5), y]);
  for (const by of [20, 60, 100, 140]) await touch("touchMove", [x(0.5), y - by]);
  await touch("touchEnd");
  await page.waitForFunction((before) => document.getElementById("main").scrollTop > before, before);
  await close();
}
