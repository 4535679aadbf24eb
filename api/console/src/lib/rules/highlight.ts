// Cuts the text of a rule into pieces of one colour. Conditions and selections inside of texts are cut
// too: they are what one reads.

/** comment, head of a table, key, text, number, function, word, operator, name */
export type Colour = "c" | "h" | "k" | "s" | "n" | "f" | "w" | "o" | "m" | "";
export type Piece = [colour: Colour, text: string];

/** Keys whose texts are of the rules' language. */
export const EXPRESSIONS = /^(when|clear|select|info|warning|critical)$/;

const LINE = /(#.*)|(\[\[?[^\]]*\]\]?)|([A-Za-z0-9_-]+)(?=\s*=)|("""|'''|"(?:[^"\\]|\\.)*"?|'[^']*'?)|([-+]?\d[\w.+:-]*|\btrue\b|\bfalse\b)|([^\s#["'\w+-]+|\s+|.)/g;
const INSIDE = /(`[^`]*`?)|('[^']*'?)|(\d[\w.]*)|([A-Za-z_][\w.:]*)(\s*\(|\s+by\b)?|([<>=!]=?~?|[-+*/%])|(\s+|.)/g;
const WORDS = /^(and|or|not|true|false|by|offset)$/;

/** The pieces of a condition or selection. */
export function inside(text: string): Piece[] {
  const pieces: Piece[] = [];
  for (const [, back, string, number, name, call, operator, rest] of text.matchAll(INSIDE)) {
    if (back !== undefined) pieces.push(["m", back]);
    else if (string !== undefined) pieces.push(["s", string]);
    else if (number !== undefined) pieces.push(["n", number]);
    else if (name !== undefined) {
      pieces.push([WORDS.test(name) ? "w" : call === undefined ? "m" : "f", name]);
      if (call !== undefined) pieces.push([/by/.test(call) ? "w" : "", call]);
    } else if (operator !== undefined) pieces.push(["o", operator]);
    else if (rest !== undefined) pieces.push(["", rest]);
  }
  return pieces;
}

function quoted(text: string, key: string): Piece[] {
  if (!EXPRESSIONS.test(key) || text.length < 2) return [["s", text]];
  const mark = text[0]!;
  const end = text.length > 1 && text.endsWith(mark) ? mark : "";
  return [["s", mark], ...inside(text.slice(1, text.length - end.length)), ["s", end]];
}

/** The pieces of each line. */
export function highlight(text: string): Piece[][] {
  let key = "";
  /** The marks of a text over several lines that is open. */
  let open = "";
  return text.split("\n").map((line) => {
    if (open !== "") {
      const at = line.indexOf(open);
      const [body, rest] = at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at)];
      if (at >= 0) open = "";
      return [...(EXPRESSIONS.test(key) ? inside(body) : ([["s", body]] as Piece[])), ["s", rest]];
    }
    const pieces: Piece[] = [];
    for (const [all, comment, head, name, string, number, rest] of line.matchAll(LINE)) {
      if (comment !== undefined) pieces.push(["c", comment]);
      else if (head !== undefined) pieces.push(["h", head]);
      else if (name !== undefined) pieces.push(["k", (key = name)]);
      else if (string === '"""' || string === "'''") {
        pieces.push(["s", string]);
        open = open === string ? "" : string;
      } else if (string !== undefined) pieces.push(...quoted(string, key));
      else if (number !== undefined) pieces.push(["n", number]);
      else pieces.push(["", rest ?? all]);
    }
    return pieces;
  });
}

/** The pieces of a line with what lies in `from..to`, in characters from 0, set apart: `[piece, isMarked]`. */
export function marked(pieces: Piece[], from: number, to: number): [Piece, boolean][] {
  const found: [Piece, boolean][] = [];
  let at = 0;
  for (const [colour, text] of pieces) {
    const chars = [...text];
    const cuts = [0, from - at, to - at, chars.length].map((cut) => Math.min(Math.max(cut, 0), chars.length));
    for (let i = 0; i < 3; i += 1) {
      const part = chars.slice(cuts[i]!, cuts[i + 1]!).join("");
      if (part !== "") found.push([[colour, part], i === 1]);
    }
    at += chars.length;
  }
  return found;
}
