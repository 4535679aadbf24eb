// The API's page, from the settings: found, searched, tried with one's session, in both themes.
import assert from "node:assert/strict";

import { PHONE, WIDE } from "../harness/browser.mjs";

export default async function ({ openAs, accessible, shoot, url }) {
  for (const colorScheme of ["dark", "light"]) {
    const { page, close } = await openAs("vera", "/settings", { colorScheme });
    await page.getByRole("link", { name: "API: all of it to read and try" }).click();
    await page.waitForURL(`${url}/api/v1/docs`);
    await page.getByRole("heading", { name: /Bellwire API/ }).waitFor();
    await page.getByRole("heading", { name: "alerts" }).or(page.getByText("Lists alerts")).first().waitFor();
    await shoot(page, `api-${colorScheme}`);
    await accessible(page, `API, ${colorScheme}`);
    const policy = (await page.request.get(`${url}/api/v1/docs`)).headers()["content-security-policy"];
    assert.match(policy, /default-src 'none'; script-src 'self'; style-src 'self'/);
    assert.doesNotMatch(policy, /unsafe/);

    await page.getByLabel("Find").fill("quarantine");
    await page.getByText("Lists payloads that could not be read").first().waitFor();
    await page.getByText("Lists silences").first().waitFor({ state: "hidden" });
    await page.setViewportSize(PHONE);
    await shoot(page, `api-${colorScheme}-phone`);
    await accessible(page, `API, ${colorScheme}, on a phone`);
    await page.setViewportSize(WIDE);
    await page.getByRole("link", { name: "Console" }).click();
    await page.waitForURL(`${url}/`);
    await close();
  }
}
