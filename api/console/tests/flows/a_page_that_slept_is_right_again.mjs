// A machine that slept, and a service that stopped: the page says that it is stale, comes back
// without a reload, and misses nothing.
import assert from "node:assert/strict";

import { alertRow } from "../harness/rows.mjs";

export default async function ({ openAs, fleet, service, live }) {
  const { page, close } = await openAs("otto");
  await page.evaluate(() => {
    window.sameDocument = true;
    // When the page hears that its connection is gone, and when it is grey.
    new MutationObserver(() => {
      if (document.querySelector("main.stale") !== null) window.greyAt ??= performance.now();
    }).observe(document.body, { subtree: true, attributes: true, childList: true });
  });
  fleet.warm("freezer-01");
  await alertRow(page, "freezer-01", "firing").waitFor();

  const asked = await page.evaluate(() => performance.now());
  await service.stop();
  const stopped = await page.evaluate(() => performance.now());
  await page.locator("main.stale").waitFor();
  await page.getByText("Stale.", { exact: true }).waitFor();
  const grey = await page.evaluate(() => window.greyAt);
  console.log(`  grey ${(grey - asked).toFixed(0)} ms after the service was asked to stop, ${(grey - stopped).toFixed(0)} ms after it had`);
  assert.ok(grey - stopped < 10_000);
  fleet.warm("freezer-02");
  await service.launch();
  await alertRow(page, "freezer-02", "firing").waitFor();
  await page.locator("main:not(.stale)").waitFor();

  // Asleep: nothing runs on the page while the world goes on.
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Page.setWebLifecycleState", { state: "frozen" });
  fleet.cool("freezer-01");
  fleet.warm("freezer-03");
  await service.stop();
  await service.launch();
  const { alerts } = await service.api("GET", "alerts");
  assert.ok(alerts.length > 0);
  await devtools.send("Page.setWebLifecycleState", { state: "active" });
  const woke = Date.now();
  await live(page);
  const isLive = Date.now();
  await alertRow(page, "freezer-03", "firing").waitFor();
  await alertRow(page, "freezer-01", "resolved").waitFor();
  console.log(`  live ${isLive - woke} ms after waking, right ${Date.now() - isLive} ms later`);

  // Off the net for a while.
  await page.context().setOffline(true);
  await service.stop();
  await page.locator("main.stale").waitFor();
  await service.launch();
  fleet.cool("freezer-03");
  await page.context().setOffline(false);
  await alertRow(page, "freezer-03", "resolved").waitFor();
  assert.equal(await page.evaluate(() => window.sameDocument), true, "without a reload");
  await close();
}
