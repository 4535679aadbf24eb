// Matchers as operators write them: `site="berlin" kind=~"f.*"`, in Alertmanager's language, with
// spaces or commas between. The service has the last word; here is what can be said while typing.

export const OPERATORS = ["=~", "!~", "!=", "="] as const;

export interface Matcher {
  name: string;
  op: (typeof OPERATORS)[number];
  value: string;
}

/** What is wrong, and at which character it begins. */
export interface Wrong {
  at: number;
  message: string;
}

const NAME = /[A-Za-z_][\w.:-]*/y;
const OPERATOR = /\s*(=~|!~|!=|=)\s*/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;
const BARE = /[^\s,"]+/y;

function take(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

function unquote(inside: string): string {
  // A pattern's own escapes, as `\d`, stay.
  return inside.replace(/\\([\\"n])/g, (_, char: string) => (char === "n" ? "\n" : char));
}

/** Reads one matcher at `at`: it and where it ends, or what is wrong. */
function parseOne(text: string, at: number): { matcher: Matcher; end: number } | Wrong {
  const name = take(NAME, text, at);
  if (name === null) return { at, message: "The name of a label is expected here, as `site`." };
  let end = at + name[0].length;
  const op = take(OPERATOR, text, end);
  if (op === null) return { at: end, message: `One of = != =~ !~ is expected after \`${name[0]}\`.` };
  end += op[0].length;
  const quoted = take(QUOTED, text, end);
  const bare = quoted === null && text[end] !== '"' ? take(BARE, text, end) : null;
  const value = quoted === null ? bare?.[0] : unquote(quoted[1] ?? "");
  if (value === undefined) {
    return { at: end, message: text[end] === '"' ? "The closing quote is missing." : "A value is expected here, in quotes." };
  }
  return {
    matcher: { name: name[0], op: op[1] as Matcher["op"], value },
    end: end + (quoted ?? bare)![0].length,
  };
}

/** All matchers of a text, or the first thing that is wrong. An empty text has none. */
export function parseMatchers(text: string): { matchers: Matcher[]; wrong: Wrong | null } {
  const matchers: Matcher[] = [];
  let at = 0;
  const skip = (): void => {
    while (at < text.length && /[\s,{}]/.test(text[at] ?? "")) at += 1;
  };
  for (skip(); at < text.length; skip()) {
    const one = parseOne(text, at);
    if ("message" in one) return { matchers, wrong: one };
    if (one.matcher.op.endsWith("~") && !isPattern(one.matcher.value)) {
      return { matchers, wrong: { at, message: `\`${one.matcher.value}\` is no pattern.` } };
    }
    matchers.push(one.matcher);
    at = one.end;
  }
  return { matchers, wrong: null };
}

/** The service's patterns are much like ours; what ours refuse is most likely a slip. */
function isPattern(value: string): boolean {
  try {
    new RegExp(value);
    return true;
  } catch {
    return false;
  }
}

/** Matchers as the service takes them: `site="berlin", kind=~"f.*"`. */
export function writeMatchers(matchers: Matcher[]): string {
  const quote = (value: string): string => `"${value.replace(/[\\"]/g, "\\$&").replace(/\n/g, "\\n")}"`;
  return matchers.map(({ name, op, value }) => name + op + quote(value)).join(", ");
}
