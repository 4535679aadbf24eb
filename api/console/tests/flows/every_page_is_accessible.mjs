// Every page of the table, in both themes, on a desk and on a phone: axe finds nothing, and nothing
// scrolls sideways. With `BELLWIRE_SHOTS` it takes a picture of each.
import { PHONE, WIDE } from "../harness/browser.mjs";
import { addressOf, pages } from "../harness/pages.mjs";
import { alertRow } from "../harness/rows.mjs";

export default async function ({ openAs, fleet, live, accessible, shoot, service, url }) {
  fleet.warm("freezer-03");
  const all = await pages();
  for (const colorScheme of ["dark", "light"]) {
    for (const viewport of [WIDE, PHONE]) {
      const { page, close } = await openAs("ada", "/", { colorScheme, viewport });
      await alertRow(page, "freezer-03", "firing").waitFor();
      for (const { name, ...rest } of [...all, { name: "unknown", path: "/nowhere" }]) {
        await page.goto(url + (await addressOf({ name, ...rest }, service)));
        await live(page);
        await page.locator("#main h1").first().waitFor({ state: "attached" });
        await page.locator('#main [aria-busy="true"]').first().waitFor({ state: "detached" });
        const what = `${name}-${colorScheme}-${viewport.width}`;
        await shoot(page, what);
        await accessible(page, what);
      }
      await close();
    }
  }
}
