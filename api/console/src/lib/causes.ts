// Why a message did not arrive, in plain words, from what the sender or the receiver said.

const CAUSES: readonly [RegExp, string][] = [
  [/^40[13]\b/, "The receiver does not let us in: look at the token or the password."],
  [/^4(?:04|05|10)\b/, "Nothing takes messages at this address."],
  [/^429\b/, "The receiver takes no more for now."],
  [/^5\d\d\b/, "The receiver has trouble of its own."],
  [/^[34]\d\d\b/, "The receiver does not want this message."],
  [/refused \(os|connection refused/i, "Nothing listens at this address."],
  [/dns|lookup|name or service/i, "There is no host of this name."],
  [/time[d-]? ?out|in time/i, "The receiver did not answer in time."],
  [/certificate|handshake|tls/i, "The receiver's certificate is not trusted."],
  [/unreachable|no route/i, "The receiver's network cannot be reached."],
];

/** What is wrong, as a sentence; empty where only the words themselves tell. */
export function causeOf(said: string): string {
  return CAUSES.find(([pattern]) => pattern.test(said))?.[1] ?? "";
}
