// The organisation's account: a button on the sign-in page, to the provider and back, as who one is there.
import assert from "node:assert/strict";
import { join } from "node:path";

import { startProvider } from "../harness/provider.mjs";
import { scratch } from "../harness/scratch.mjs";

const CALLBACK = "/api/v1/session/oidc/callback";
let service = "";
const { issuer } = await startProvider({
  client: "bell",
  claims: { sub: "subject-7", preferred_username: "olga", realm_access: { roles: ["ops"] } },
  backTo: () => service + CALLBACK,
});
const folder = scratch({ secret: "hush" });
const config = `
[http.oidc]
issuer = "${issuer}"
client_id = "bell"
client_secret_file = "${join(folder, "secret")}"
redirect_url = "https://bell.example${CALLBACK}"
role_claim = "realm_access.roles"
roles = { ops = "operator" }
`;

export const settings = { env: { BELLWIRE_CONFIG: join(scratch({ "bellwire.toml": config }), "bellwire.toml") }, fleet: false };

export default async function ({ open, url, live, accessible, shoot }) {
  service = url;
  const { page, faults, close } = await open();
  await page.goto(`${url}/devices`);
  const button = page.getByRole("link", { name: "Sign in with the organisation's account" });
  await button.waitFor();
  await accessible(page, "sign in by a provider");
  await shoot(page, "sign-in-by-provider");
  await button.click();
  await live(page);
  await page.getByRole("button", { name: "olga, operator" }).waitFor();
  await page.goto(`${url}/settings`);
  await page.getByText("You sign in with the organisation's account").waitFor();
  assert.equal(await page.getByLabel("Current password").count(), 0, "there is no password here");
  // The provider is elsewhere, and nothing else is.
  const others = faults.splice(0).filter((fault) => !fault.startsWith(`asked elsewhere: ${issuer}/auth`));
  assert.deepEqual(others, []);
  await close();
}
