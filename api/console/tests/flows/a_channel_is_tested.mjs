// A channel's test message arrives at a receiver, which then refuses; all of it is among the deliveries.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { join } from "node:path";

import { scratch } from "../harness/scratch.mjs";

const heard = [];
let status = 200;
const receiver = createServer(async (request, response) => {
  let body = "";
  for await (const part of request) body += part;
  heard.push(JSON.parse(body));
  response.writeHead(status).end(status === 200 ? "thanks" : "not this");
}).listen(0, "127.0.0.1");
await once(receiver, "listening");
receiver.unref();

const config = `
[[channel]]
name = "ops"
type = "webhook"
url = "http://127.0.0.1:${receiver.address().port}/secret-path"

[[channel]]
name = "nobody"
type = "webhook"
url = "http://127.0.0.1:9/"

[[route]]
channels = ["ops"]
group_wait_s = 0
`;
const folder = scratch({ "bellwire.toml": config });

export const settings = { env: { BELLWIRE_CONFIG: join(folder, "bellwire.toml") } };
export const expected = ["channel", "not this"];

export default async function ({ openAs, fleet, accessible, shoot }) {
  const { page, close } = await openAs("otto", "/channels");
  const card = (name) => page.locator(`[data-channel="${name}"]`);
  await card("ops").getByText("nothing sent yet").waitFor();
  assert.equal((await page.content()).includes("secret-path"), false, "an address may be a secret");
  await card("ops").getByRole("button", { name: "Send a test message" }).click();
  await card("ops").getByText("The test message has arrived").waitFor();
  assert.equal(heard.length, 1);
  assert.equal(heard[0].version, "4", "Alertmanager's webhook");
  await card("nobody").getByRole("button", { name: "Send a test message" }).click();
  await card("nobody").getByText("The test message did not arrive. Nothing listens at this address. A test is sent once.").waitFor();
  await card("nobody").getByText("not reached", { exact: true }).waitFor();
  assert.equal(await card("nobody").getByText("tried again").count(), 0, "nothing waits");
  await shoot(page, "channels");
  await accessible(page, "channels");

  fleet.warm("freezer-03");
  await card("ops").getByText("delivers").waitFor();
  status = 410;
  await card("ops").getByRole("button", { name: "Send a test message" }).click();
  await card("ops").getByText("The test message was not wanted. Nothing takes messages at this address.").waitFor();
  await card("ops").getByRole("link", { name: "What was sent" }).click();
  await page.waitForURL(/tab=deliveries&channel=ops/);
  await page.getByRole("cell", { name: "a test" }).first().waitFor();
  await page.getByText("rejected").first().waitFor();
  await page.getByRole("cell", { name: /firing/ }).first().waitFor();
  await shoot(page, "deliveries");
  await accessible(page, "deliveries");
  await page.getByLabel("Only what did not arrive").check();
  await page.getByText("delivered", { exact: true }).first().waitFor({ state: "detached" });
  await close();

  const viewer = await openAs("vera", "/channels");
  await viewer.page.locator('[data-channel="ops"]').waitFor();
  assert.equal(await viewer.page.getByRole("button", { name: "Send a test message" }).count(), 0, "a viewer looks");
  await viewer.close();
}
