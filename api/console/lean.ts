// What the build leaves out of Svelte and of what it makes of a component: all that only serves
// pages drawn by a server first, components of older Svelte, state that is changed inside, and an
// HTML parser that needs no help.
import type { Plugin } from "vite";

/** In Svelte itself: switches that this console never turns on. Known while building, their code goes. */
const SWITCHES = [
  { file: "svelte/src/internal/client/dom/hydration.js", off: ["hydrating"] },
  { file: "svelte/src/internal/flags/index.js", off: ["async_mode_flag", "legacy_mode_flag", "tracing_mode_flag"] },
];

export function switchedOff(code: string, names: string[]): string {
  return names.reduce((text, name) => {
    if (!text.includes(`export let ${name} = false;`)) throw new Error(`Svelte has no ${name} any more: see lean.ts`);
    return text
      .replace(`export let ${name} = false;`, `export const ${name} = false;`)
      .replace(new RegExp(`^\\s*${name} = (value|true|false);$`, "gm"), "");
  }, code);
}

/** In a component: steps of hydration, old slots, a name for what is put in its place at once, and what says to
 *  Svelte that something is a text (for hydration), a component not of the older kind, or to be followed inside. */
export function withoutNeedless(code: string): string {
  return code
    .replace(/^\s*\$\.(reset\([\w$]+\)|next\(\d*\));$/gm, "")
    .replace(/(\$\.(?:only_child\(|child\(|sibling\(|push\(|set\([^(),]+, )(?:[^()]|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))*), true\)/g, "$1)")
    .replace(/\$\.proxy\(/g, "(")
    .replace(/,?\s*\$\$slots: \{[^}]*\}/g, "")
    .replace(/(?<=\$\.from_(?:html|svg)\(`(?:[^`\\]|\\.)*?)(?:<\/\w+>)+`/g, "`")
    .replace(/var ([\w$]+) = (root\w*\(\)|\$\.text\([^\n]*\));\s*\$\.append\(\$\$anchor, \1\);/g, "$.append($$$$anchor, $2);");
}

/** State is plain here, so nothing is followed inside of it. */
const PLAIN = {
  file: "svelte/src/internal/client/proxy.js",
  code: "const same = (value) => value;\nexport { same as proxy, same as get_proxied_value };\nexport const is = Object.is;\n",
};

export const lean: Plugin = {
  name: "bellwire-lean",
  apply: "build",
  enforce: "post",
  transform(code, id) {
    const found = SWITCHES.find(({ file }) => id.endsWith(file));
    if (found !== undefined) return { code: switchedOff(code, found.off), map: null };
    if (id.endsWith(PLAIN.file)) return { code: PLAIN.code, map: null };
    return id.endsWith(".svelte") ? { code: withoutNeedless(code), map: null } : undefined;
  },
};
