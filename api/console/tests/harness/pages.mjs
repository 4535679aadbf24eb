// The console's own table of pages, as the accessibility flow needs it: one place, `src/pages.ts`.
import { readFileSync } from "node:fs";

import ts from "typescript";

/** Parts of paths: for each page with parts in its path, how to fill them on the flow's service. */
export const EXAMPLES = {
  alert: async (service) => ({ id: (await service.api("GET", "alerts?device=freezer-03")).alerts[0].id }),
  device: async () => ({ device: "freezer-03" }),
  silence: async (service) => ({ id: await silenceId(service) }),
  rule: async (service) => {
    const toml = '[[rule]]\nname = "pump-stalls"\nwhen = "speed < 900 and pressure > 2"\nfor = "30s"\nselect = "device =~ \'pump-.*\'"\n';
    const { rules } = await service.api("GET", "rules");
    if (!rules.some(({ name }) => name === "pump-stalls")) await service.api("POST", "rules", { toml, author: "ada" });
    return { name: "pump-stalls" };
  },
};

let silence = null;

/** A silence of nothing that is there, made once. */
async function silenceId(service) {
  const body = { matchers: 'site="paris", kind=~"oven.*"', reason: "The oven is being mended", for: "2h" };
  silence ??= (await service.api("POST", "silences", body)).id;
  return silence;
}

export async function pages() {
  const source = readFileSync(new URL("../../src/pages.ts", import.meta.url), "utf8");
  const { outputText } = ts.transpileModule(source, { compilerOptions: { module: ts.ModuleKind.ESNext } });
  const { PAGES } = await import(`data:text/javascript,${encodeURIComponent(outputText)}`);
  return PAGES;
}

/** The address of a page, its parts filled in. */
export async function addressOf(page, service) {
  const parts = page.path.includes("{") ? await EXAMPLES[page.name]?.(service) : {};
  if (parts === undefined) throw new Error(`say in harness/pages.mjs how to fill ${page.path}`);
  return page.path.replace(/\{(.+?)\}/g, (_, name) => encodeURIComponent(parts[name]));
}
