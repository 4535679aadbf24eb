import { readdirSync, readFileSync } from "node:fs";

import { compile } from "svelte/compiler";
import { expect, test } from "vitest";

import { switchedOff, withoutNeedless } from "./lean.ts";

const PARENT = `<script>import Child from "./Child.svelte"; const { name } = $props(); let seen = $state(name); const see = () => { seen = f(name); }; const f = (it) => it; let open = $state(false); const set = () => { open = true; };</script>
<p onclick={see}>{seen}</p><p onclick={set}>{open}</p><article><p class="muted">one <b>{name}</b></p><Child>text</Child></article>`;

test("a component keeps what it draws, and loses what only a page from a server needs", () => {
  const { code } = compile(PARENT, { generate: "client", runes: true }).js;
  const lean = withoutNeedless(code);
  expect(code).toMatch(/\$\.reset\(|\$\.next\(|\$\$slots: \{|<\/article>/);
  expect(lean).not.toMatch(/\$\.reset\(|\$\.next\(|\$\$slots: \{|<\/article>/);
  expect(lean).toContain("<article><p class=\"muted\">one <b> </b></p><!>`");
  expect(code).toMatch(/\$\.set\(seen, .*, true\)[^]*\$\.only_child\(\w+, true\)/);
  expect(lean).not.toMatch(/\$\.(only_child|push)\(.*, true\)|f\(.*, true\)|\$\.proxy/);
  expect(lean).toContain("$.set(open, true);");
  expect(lean.match(/\$\.(set|only_child|state)\(/g)).toEqual(code.match(/\$\.(set|only_child|state)\(/g));
  expect(lean.match(/\$\.append\(/g)).toEqual(code.match(/\$\.append\(/g));
});

test("no state is an object that is changed inside: such is not seen", () => {
  const files = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((file) => /\.svelte(\.ts)?$/.test(file));
  const followed = files.flatMap((file) =>
    // A type of objects, or an object as its beginning; what is destructured is as many states.
    [...readFileSync(`src/${file}`, "utf8").matchAll(/(?<!\} = )\$state(<[^()]*(\[\]|\{|Map|Set|Record)[^()]*>)?\((?:[[{]|(?<=>\())/g)].map(
      ([found]) => `${file}: ${found}`,
    ),
  );
  expect(followed).toEqual([]);
});

test("a switch that Svelte no longer has stops the build", () => {
  expect(switchedOff("export let hydrating = false;\nf(() => {\n\thydrating = value;\n});", ["hydrating"])).toBe(
    "export const hydrating = false;\nf(() => {\n\n});",
  );
  expect(() => switchedOff("export let other = false;", ["hydrating"])).toThrow("no hydrating any more");
});
