// Many devices from a text that somebody pastes: CSV with a line of names, a JSON array, or JSON line
// by line. What is wrong is told line by line; the service has the last word.

/** One device to register: labels beside those that it has; null removes one. */
export interface ImportRow {
  /** Where it stands in the text, from 1. */
  line: number;
  device: string;
  labels: Record<string, string | null>;
}

export interface ImportError {
  line: number;
  message: string;
}

export interface Import {
  rows: ImportRow[];
  errors: ImportError[];
}

/** The most that one request takes. */
export const DEVICES_MAX = 10_000;
const LABELS_MAX = 64;
const bytes = new TextEncoder();

/** What is wrong with the name of a label; null if nothing is. */
export function nameFault(name: string): string | null {
  if (!/^[\p{Alphabetic}_][\p{Alphabetic}\p{N}_]*$/u.test(name)) {
    return `“${name}” is no name of a label: letters, digits and _ make one, and no digit is first.`;
  }
  if (name === "device") return "`device` is the device's own name, and no label.";
  return bytes.encode(name).length > 64 ? "A label's name has at most 64 bytes." : null;
}

/** What is wrong with the value of a label; null if nothing is. */
export function valueFault(value: string): string | null {
  if (value === "") return "A label has a value.";
  if (/\p{Cc}/u.test(value)) return "A label's value has no control characters.";
  return bytes.encode(value).length > 256 ? "A label's value has at most 256 bytes." : null;
}

/** What is wrong with the name of a device; null if nothing is. */
export function deviceFault(device: string): string | null {
  if (device === "") return "The device has no name.";
  if (bytes.encode(device).length > 256) return "A device's name has at most 256 bytes.";
  if ([".", "..", "*"].includes(device) || device.startsWith("{")) return `“${device}” means something else.`;
  return /[\p{Cc}/+#]/u.test(device) ? `“${device}” is no device: names have no /, + or #, and no control characters.` : null;
}

function faultOf({ device, labels }: ImportRow): string | null {
  const pairs = Object.entries(labels);
  if (pairs.length > LABELS_MAX) return `A device has at most ${LABELS_MAX} labels.`;
  const faults = pairs.map(([name, value]) => nameFault(name) ?? (value === null ? null : valueFault(value)));
  return deviceFault(device) ?? faults.find((fault) => fault !== null) ?? null;
}

/** The cells of CSV (RFC 4180), each row with its line. A quote that is not closed gives the line of its beginning. */
function cellsOf(text: string, separator: string): { rows: { line: number; cells: string[] }[]; open: number | null } {
  const rows: { line: number; cells: string[] }[] = [];
  let [cells, cell, line, begun]: [string[], string, number, number] = [[], "", 1, 1];
  let quoted: number | null = null;
  const end = (): void => {
    cells.push(cell.trim());
    if (cells.some((it) => it !== "")) rows.push({ line: begun, cells });
    [cells, cell] = [[], ""];
  };
  for (let i = 0; i < text.length; i += 1) {
    const char = text[i] ?? "";
    if (char === "\n") line += 1;
    if (quoted !== null) {
      if (char !== '"') cell += char;
      else if (text[i + 1] === '"') cell += text[(i += 1)];
      else quoted = null;
    } else if (char === '"' && cell.trim() === "") [quoted, cell] = [line, ""];
    else if (char === separator) {
      cells.push(cell.trim());
      cell = "";
    } else if (char === "\n") {
      end();
      begun = line;
    } else cell += char;
  }
  end();
  return { rows, open: quoted };
}

function readCsv(text: string): Import {
  const first = text.trimStart().split("\n", 1)[0] ?? "";
  const separator = ["\t", ";", ","].find((it) => first.includes(it)) ?? ",";
  const { rows: lines, open } = cellsOf(text, separator);
  if (open !== null) return { rows: [], errors: [{ line: open, message: "A quote is opened here and not closed." }] };
  const [head, ...rest] = lines;
  const columns = head?.cells ?? [];
  const at = head?.line ?? 1;
  if (!columns.includes("device")) {
    return { rows: [], errors: [{ line: at, message: "The first line names the columns; one of them is `device`." }] };
  }
  const twice = columns.find((name, i) => columns.indexOf(name) !== i);
  const bad = columns.map((name) => (name === "device" ? null : nameFault(name))).find((fault) => fault !== null);
  const wrong = twice === undefined ? bad : `The column “${twice}” stands twice.`;
  if (wrong !== undefined && wrong !== null) return { rows: [], errors: [{ line: at, message: wrong }] };
  const errors: ImportError[] = [];
  const rows = rest.flatMap(({ line, cells }): ImportRow[] => {
    if (cells.length > columns.length) {
      errors.push({ line, message: `There are ${cells.length} cells, but ${columns.length} columns.` });
      return [];
    }
    const pairs = columns.map((name, i) => [name, cells[i] ?? ""] as const);
    const labels = Object.fromEntries(pairs.filter(([name, value]) => name !== "device" && value !== ""));
    return [{ line, device: cells[columns.indexOf("device")] ?? "", labels }];
  });
  return { rows, errors };
}

function readObject(value: unknown, line: number): ImportRow | ImportError {
  const wrong = (message: string): ImportError => ({ line, message });
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return wrong('An object is expected: {"device": "…", "labels": {…}}.');
  }
  const { device, model, labels = {}, ...rest } = value as Record<string, unknown>;
  const [odd] = Object.keys(rest);
  if (odd !== undefined) return wrong(`“${odd}” is not known: there are device, model and labels.`);
  if (typeof device !== "string") return wrong("`device` is missing.");
  if (typeof labels !== "object" || labels === null || Array.isArray(labels)) return wrong("`labels` is an object.");
  const all = { ...(labels as Record<string, unknown>), ...(model === undefined ? {} : { model }) };
  const no = Object.entries(all).find(([, it]) => it !== null && typeof it !== "string");
  if (no !== undefined) return wrong(`The label “${no[0]}” is no text.`);
  return { line, device, labels: all as Record<string, string | null> };
}

/** The line of each element of a JSON array, by its brackets. */
function linesOf(text: string): number[] {
  const lines: number[] = [];
  let [line, depth, inText, fresh] = [1, 0, false, false];
  for (let i = 0; i < text.length; i += 1) {
    const char = text[i] ?? "";
    if (char === "\n") line += 1;
    if (inText) {
      if (char === "\\") i += 1;
      else if (char === '"') inText = false;
      continue;
    }
    if (fresh && /\S/.test(char) && char !== "]") {
      lines.push(line);
      fresh = false;
    }
    if (char === '"') inText = true;
    else if ("[{".includes(char)) {
      depth += 1;
      if (depth === 1) fresh = true;
    } else if ("]}".includes(char)) depth -= 1;
    else if (char === "," && depth === 1) fresh = true;
  }
  return lines;
}

function jsonFault(error: unknown): string {
  return `This is no JSON: ${error instanceof Error ? error.message : String(error)}`;
}

function readJson(text: string): Import {
  const found: (ImportRow | ImportError)[] = [];
  if (text.trimStart().startsWith("[")) {
    try {
      const lines = linesOf(text);
      for (const [i, value] of (JSON.parse(text) as unknown[]).entries()) found.push(readObject(value, lines[i] ?? 1));
    } catch (error) {
      const at = /line (\d+)/.exec(String(error))?.[1];
      const position = /position (\d+)/.exec(String(error))?.[1];
      const line = at ?? (position === undefined ? 1 : text.slice(0, Number(position)).split("\n").length);
      return { rows: [], errors: [{ line: Number(line), message: jsonFault(error) }] };
    }
  } else {
    for (const [i, line] of text.split("\n").entries()) {
      if (line.trim() === "") continue;
      try {
        found.push(readObject(JSON.parse(line), i + 1));
      } catch (error) {
        found.push({ line: i + 1, message: jsonFault(error) });
      }
    }
  }
  return {
    rows: found.filter((it): it is ImportRow => "device" in it),
    errors: found.filter((it): it is ImportError => "message" in it),
  };
}

/** Reads a text of devices; those that are wrong are errors, and not among the rows. */
export function readImport(text: string): Import {
  const clean = text.replace(/^\uFEFF/, "").replace(/\r\n?/g, "\n");
  if (clean.trim() === "") return { rows: [], errors: [] };
  const read = /^\s*[[{]/.test(clean) ? readJson(clean) : readCsv(clean);
  const errors = [...read.errors];
  const seen = new Map<string, number>();
  const rows = read.rows.filter((row) => {
    const first = seen.get(row.device);
    const message = faultOf(row) ?? (first === undefined ? null : `“${row.device}” stands in line ${first} already.`);
    seen.set(row.device, first ?? row.line);
    if (message !== null) errors.push({ line: row.line, message });
    return message === null;
  });
  if (rows.length > DEVICES_MAX) {
    errors.push({ line: rows[DEVICES_MAX]?.line ?? 1, message: `At most ${DEVICES_MAX} devices go at once.` });
    rows.length = DEVICES_MAX;
  }
  return { rows, errors: errors.sort((a, b) => a.line - b.line) };
}

/** What an import does with a device that is known with these labels. */
export function effectOf(row: ImportRow, known: [string, string][] | undefined): "new" | "changed" | "same" {
  if (known === undefined) return "new";
  const labels = new Map(known);
  return Object.entries(row.labels).every(([name, value]) => (labels.get(name) ?? null) === value) ? "same" : "changed";
}
