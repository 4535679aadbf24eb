// On a phone, the menus of the header lead to every page there is.
import assert from "node:assert/strict";

import { PHONE } from "../harness/browser.mjs";
import { pages } from "../harness/pages.mjs";

export default async function ({ openAs, live, accessible, shoot, url }) {
  const all = (await pages()).filter(({ path }) => !path.includes("{"));
  const { page, close } = await openAs("ada", "/", { viewport: PHONE });
  for (const { title, path, menu, under } of all) {
    await page.goto(url);
    await live(page);
    if (under !== undefined) {
      // One reaches it from the page that it is below.
      await page.goto(url + all.find(({ name }) => name === under).path);
      await page.getByRole("main").getByRole("link", { name: title }).first().click();
    } else {
      await page.getByRole("button", { name: menu ? "ada, admin" : "Pages" }).click();
      const item = page.getByRole("menuitem", { name: title, exact: true });
      await item.waitFor();
      const box = await item.boundingBox();
      assert.ok(box.x >= 0 && box.x + box.width <= PHONE.width, `${title} is on the screen`);
      if (path === "/") {
        await shoot(page, "phone-menu");
        await accessible(page, "the menu of pages");
      }
      await item.click();
    }
    await page.waitForURL((to) => to.pathname === path);
    await page.locator("#main h1").first().waitFor({ state: "attached" });
    await page.locator('#main [aria-busy="true"]').first().waitFor({ state: "detached" });
    await accessible(page, `${title} on a phone`);
  }
  await close();

  for (const width of [320, PHONE.width]) {
    const { page, close } = await openAs("ada", "/silences", { viewport: { ...PHONE, width } });
    await apart(page, "live", width);
    await page.routeWebSocket(/\/live/, (socket) => socket.close());
    await page.reload();
    await page.locator('[data-link="Reconnecting"]').waitFor();
    await apart(page, "without the service", width);
    await close();
  }
}

/** Nothing in the header lies over another. */
async function apart(page, what, width) {
  const boxes = await page.locator("header > :not(nav), header nav > *").evaluateAll((all) =>
    all.map((it) => it.getBoundingClientRect()).map(({ left, right }) => [left, right]).sort(([a], [b]) => a - b),
  );
  for (const [i, [, right]] of boxes.entries()) {
    assert.ok(right <= (boxes[i + 1]?.[0] ?? width) + 0.5, `${what}, at ${width} px: ${JSON.stringify(boxes)}`);
  }
}
