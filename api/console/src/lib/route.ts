// Which page a path means, and the path of a page. The pages themselves are in `pages.ts`.

/** The parts of a path that its template names: `{id}`. */
export type Params = Readonly<Record<string, string>>;

function partsOf(path: string): string[] {
  return path.split("/").filter((part) => part !== "");
}

/** The parts of `path` if it is one of `template`; null if it is not. */
export function matchPath(template: string, path: string): Params | null {
  const [want, have] = [partsOf(template), partsOf(path)];
  if (want.length !== have.length) return null;
  const params: Record<string, string> = {};
  for (const [i, part] of want.entries()) {
    const given = have[i] ?? "";
    const name = /^\{(.+)\}$/.exec(part)?.[1];
    if (name === undefined) {
      if (part !== given) return null;
      continue;
    }
    try {
      params[name] = decodeURIComponent(given);
    } catch {
      return null;
    }
  }
  return params;
}

/** The page of a path. Templates without parts go first: `/rules/new` is not the rule `new`. */
export function matchPage<P extends { path: string }>(pages: readonly P[], path: string): { page: P; params: Params } | null {
  const exact = pages.find((page) => !page.path.includes("{") && matchPath(page.path, path) !== null);
  if (exact !== undefined) return { page: exact, params: {} };
  for (const page of pages) {
    const params = matchPath(page.path, path);
    if (params !== null) return { page, params };
  }
  return null;
}

/** A path of ours: `at("devices", id)`. */
function at(...parts: string[]): string {
  return `/${parts.map(encodeURIComponent).join("/")}`;
}

export const devicePath = (device: string): string => at("devices", device);
export const alertPath = (id: string): string => at("alerts", id);
export const rulePath = (name: string): string => at("rules", name);
export const silencePath = (id: string): string => at("silences", id);
