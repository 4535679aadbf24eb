// A page that was away learns what happened meanwhile.
import { alertRow } from "../harness/rows.mjs";

const DEVICE = "freezer-03";

export default async function ({ openAs, fleet, service }) {
  const { page, close } = await openAs("vera");
  fleet.warm(DEVICE);
  await alertRow(page, DEVICE, "firing").waitFor();
  await page.context().setOffline(true);
  await service.stop();
  await page.locator("main.stale").waitFor();
  await service.launch();
  fleet.cool(DEVICE);
  await page.context().setOffline(false);
  await alertRow(page, DEVICE, "resolved").waitFor();
  await close();
}
