// Which page a path means, and the path of a page.

export type Route =
  | { page: "alerts" }
  | { page: "devices" }
  | { page: "device"; device: string }
  | { page: "unknown" };

/** The page of a path of the location bar. */
export function parseRoute(path: string): Route {
  const parts = path.split("/").filter((part) => part !== "");
  if (parts.length === 0) return { page: "alerts" };
  if (parts[0] !== "devices" || parts.length > 2) return { page: "unknown" };
  if (parts[1] === undefined) return { page: "devices" };
  try {
    return { page: "device", device: decodeURIComponent(parts[1]) };
  } catch {
    return { page: "unknown" };
  }
}

/** The path of one device's page. */
export function devicePath(device: string): string {
  return `/devices/${encodeURIComponent(device)}`;
}
