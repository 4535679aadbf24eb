// The guides' pictures: each that is named is there, and each that is there is named.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";

import { expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
const PICTURES = join(ROOT, "docs/pictures");
/** All of the console's together. */
const BYTES_MAX = 800_000;

const documents = [
  ...readdirSync(ROOT).map((name) => join(ROOT, name)),
  ...readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" }).map((name) => join(ROOT, "docs", name)),
].filter((path) => path.endsWith(".md"));

/** What a document shows, and what it links to that is a picture. */
function named(path: string): string[] {
  const links = readFileSync(path, "utf8").matchAll(/(?:\]\(|src=")([^)"\s]+\.(?:svg|png|webp))[)"]/g);
  return [...links].map(([, link]) => relative(PICTURES, join(dirname(path), link!)));
}

test("each picture that a document names is there, and each that is there is named", () => {
  const there = readdirSync(PICTURES).sort();
  expect([...new Set(documents.flatMap(named))].sort()).toEqual(there);
});

test("each picture says in words what it shows", () => {
  const silent = documents.filter((path) => /!\[\s*\]\(/.test(readFileSync(path, "utf8"))).map((path) => basename(path));
  expect(silent).toEqual([]);
});

test("the console's pictures stay small", () => {
  const ours = readdirSync(PICTURES).filter((name) => name.startsWith("console-"));
  const bytes = ours.reduce((sum, name) => sum + statSync(join(PICTURES, name)).size, 0);
  expect(bytes).toBeLessThan(BYTES_MAX);
});
