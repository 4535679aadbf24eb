// Two admins write in one rule: nobody overwrites what they have not seen.
import assert from "node:assert/strict";

import { textOf, toml } from "../harness/rules.mjs";

export const settings = { fleet: false, people: { ada: "admin", bo: "admin" } };

export default async function ({ openAs, service, accessible, shoot }) {
  await service.api("POST", "rules", { toml: toml("hot", 90), author: "ada" });
  const ada = await openAs("ada", "/rules/hot");
  const bo = await openAs("bo", "/rules/hot");
  await textOf(ada.page).fill(toml("hot", 80));
  await textOf(bo.page).fill(toml("hot", 70));
  await ada.page.getByText("Valid: ").waitFor();
  await ada.page.getByRole("button", { name: "Save", exact: true }).click();
  await ada.page.getByText("version 2, by ada").waitFor();

  // Bo is told without asking, and what he wrote is still there.
  const told = bo.page.getByRole("alert", { name: "Another change" });
  await told.getByText(/ada changed this rule/).waitFor();
  assert.match(await told.innerText(), /heat > 80[^]*heat > 70/);
  assert.equal(await textOf(bo.page).inputValue(), toml("hot", 70));
  assert.equal(await bo.page.getByRole("button", { name: "Save", exact: true }).isDisabled(), true);
  await accessible(bo.page, "another change");
  await shoot(bo.page, "rule-conflict");
  await told.getByRole("button", { name: "Go on with mine" }).click();
  await bo.page.getByRole("button", { name: "Save", exact: true }).click();
  await bo.page.getByText("version 3, by bo").waitFor();
  const { toml: kept } = await service.api("GET", "rules/hot");
  assert.equal(kept, toml("hot", 70));

  // A save that comes too late is refused in words.
  await ada.page.waitForFunction(() => document.querySelector("textarea").value.includes("heat > 70"));
  await ada.page.route("**/api/v1/rules/hot", (route) =>
    route.request().method() === "GET" ? route.abort() : route.continue(),
  );
  await textOf(ada.page).fill(toml("hot", 60));
  await service.api("PUT", "rules/hot", { toml: toml("hot", 65), author: "bo" }, { "if-match": '"3"' });
  await ada.page.getByText("Valid: ").waitFor();
  await ada.page.unroute("**/api/v1/rules/hot");
  const save = ada.page.getByRole("button", { name: "Save", exact: true });
  await save.click({ timeout: 2_000 }).catch(() => undefined);
  const refused = ada.page.getByRole("alert", { name: "Another change" });
  await refused.getByText(/bo changed this rule/).waitFor();
  await refused.getByRole("button", { name: "Take theirs" }).click();
  assert.equal(await textOf(ada.page).inputValue(), toml("hot", 65));
  await ada.close();
  await bo.close();
}
