// The health page says in words that the database does not answer, what that means, and that it is back.
import { signalDatabase } from "../harness/processes.mjs";

const SHORT = { CONNECT: 1000, STATEMENT: 2000, WRITE: 2000 };
export const settings = {
  env: Object.fromEntries(Object.entries(SHORT).map(([what, ms]) => [`BELLWIRE_DATABASE_${what}_TIMEOUT_MS`, String(ms)])),
};
export const expected = ["database", "second connection", "recycled", "statement", "query", "Query"];

export default async function ({ openAs, service, accessible, shoot }) {
  const { page, close } = await openAs("vera", "/health");
  const stage = (id, level) => page.locator(`[data-stage="${id}"][data-level="${level}"]`);
  await page.getByText("Nothing is wrong").waitFor();
  await stage("database", "ok").waitFor();
  // Rates need two looks.
  await page.locator('[data-stage="listener"]').getByText(/\d\/s/).waitFor();
  await page.locator('[data-stage="judge"]').getByText(/\d\/s/).waitFor();
  await page.getByRole("row", { name: /in the database .* ms .* the last seconds/ }).waitFor();
  await shoot(page, "health");
  await accessible(page, "health");

  signalDatabase(service.dataDir, "SIGSTOP");
  try {
    await page.getByText("The database does not answer").waitFor();
    await page.getByText("Nothing is lost").waitFor();
    await stage("database", "bad").waitFor();
    await stage("listener", "ok").waitFor();
    await shoot(page, "health-without-database");
    await accessible(page, "health without the database");
  } finally {
    signalDatabase(service.dataDir, "SIGCONT");
  }
  await stage("database", "ok").waitFor();
  await page.getByText("Nothing is wrong").waitFor();

  // What is shown goes grey when nobody answers.
  await service.stop();
  await page.locator("main.stale").waitFor();
  await page.getByText("The service does not say how it is").waitFor();
  await shoot(page, "health-stale");
  await service.launch();
  await page.getByText("Nothing is wrong").waitFor();
  await page.locator("main:not(.stale)").waitFor();
  await close();
}
