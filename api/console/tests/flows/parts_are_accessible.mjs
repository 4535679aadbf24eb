// The shared parts: axe in both themes and widths, and what a keyboard does with each.
import assert from "node:assert/strict";

import { PHONE, WIDE } from "../harness/browser.mjs";
import { serveGallery } from "../harness/gallery.mjs";

export const settings = null;

async function keyboard(page, accessible) {
  const said = (text) => page.locator("[data-said]").getByText(text, { exact: true }).waitFor();
  const focused = () => page.evaluate(() => document.activeElement?.textContent?.trim());

  const more = page.getByRole("button", { name: "More" });
  await more.press("ArrowDown");
  await page.keyboard.press("End");
  assert.equal(await focused(), "Remove");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("s");
  assert.equal(await focused(), "Snooze");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Escape");
  assert.equal(await focused(), "More", "the focus goes back");
  await more.press("Enter");
  await page.keyboard.press("Enter");
  await said("acknowledged");

  const names = () => page.locator("tr[data-row]").evaluateAll((rows) => rows.map((row) => row.dataset.row).join(" "));
  assert.equal(await names(), "freezer-10 pump-01 freezer-02");
  await page.getByRole("region", { name: "Devices" }).getByRole("button", { name: "Device" }).press("Enter");
  assert.equal(await names(), "freezer-02 freezer-10 pump-01");
  assert.equal(await page.getByRole("columnheader", { name: "Device" }).first().getAttribute("aria-sort"), "ascending");

  await page.getByRole("tab", { name: "One" }).press("ArrowRight");
  await page.getByRole("tabpanel").getByText("This is two.").waitFor();

  const matchers = page.getByLabel("Matchers");
  await matchers.fill('site="berlin" kind');
  await matchers.press("Enter");
  await page.getByText(/expected after `kind`/).waitFor();
  assert.equal(await matchers.getAttribute("aria-invalid"), "true");
  await matchers.fill('site=berlin kind=~"f.*"');
  await matchers.press("Enter");
  await said("2 matchers");
  await page.getByRole("button", { name: 'Remove kind=~"f.*"' }).press("Enter");
  assert.equal(await matchers.inputValue(), 'site="berlin"');

  const opener = page.getByRole("button", { name: "Open a dialog" });
  await opener.press("Enter");
  await page.getByRole("dialog").getByLabel("Reason").fill("x");
  await accessible(page, "a dialog");
  await page.keyboard.press("Escape");
  assert.equal(await focused(), "Open a dialog");

  await page.getByRole("button", { name: "Ask" }).press("Enter");
  await accessible(page, "a question");
  await page.getByRole("dialog").getByRole("button", { name: "Remove" }).press("Enter");
  await said("yes");
  assert.equal(await focused(), "Ask");
  await page.getByRole("button", { name: "Ask" }).press("Enter");
  await page.keyboard.press("Escape");
  await said("no");

  await page.getByRole("button", { name: "Fail" }).press("Enter");
  await page.getByRole("alert").getByText("r-17").last().waitFor();
  await page.getByRole("button", { name: "Do", exact: true }).press("Enter");
  await accessible(page, "messages");
  await page.getByRole("button", { name: "Undo" }).press("Enter");
  await said("undone");

  await page.getByRole("button", { name: "From – to" }).press("Enter");
  await page.getByLabel("To", { exact: true }).fill("2020-01-01T00:00");
  await page.getByRole("button", { name: "Show" }).press("Enter");
  await page.getByText("The end must be after the beginning.").waitFor();
  await page.getByLabel("From", { exact: true }).fill("2019-12-31T00:00");
  await page.getByRole("button", { name: "Show" }).press("Enter");
  await said("range");
}

/** A message does not lie over what has the focus, even at the end of the page. */
async function unobscured(page) {
  const fail = page.getByRole("button", { name: "Fail" });
  await fail.focus();
  // Where the message will stand.
  await fail.evaluate((it) => {
    it.style.scrollMarginBottom = "28px";
    it.scrollIntoView({ block: "end" });
  });
  await page.keyboard.press("Enter");
  await page.getByRole("region", { name: "Messages" }).getByText("r-17").waitFor();
  // It goes by itself after six seconds.
  const seen = () => {
    const { left, top, width, height } = document.activeElement.getBoundingClientRect();
    return document.elementFromPoint(left + width / 2, top + height / 2) === document.activeElement;
  };
  await page.waitForFunction(seen, undefined, { timeout: 3_000 });
}

export default async function ({ open, accessible, shoot }) {
  const gallery = await serveGallery();
  try {
    for (const colorScheme of ["dark", "light"]) {
      for (const viewport of [WIDE, PHONE]) {
        const { page, close } = await open({ url: gallery.url, colorScheme, viewport });
        await page.goto(gallery.url);
        await page.getByRole("heading", { name: "Parts", level: 1 }).waitFor();
        await accessible(page, `parts, ${colorScheme}, ${viewport.width}`);
        await shoot(page, `parts-${colorScheme}-${viewport.width}`);
        await (viewport === WIDE ? keyboard(page, accessible) : unobscured(page));
        await close();
      }
    }
  } finally {
    gallery.close();
  }
}
