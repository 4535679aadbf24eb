// Commands for devices: what their states mean, and what may be sent.
import type { Schemas } from "./client";

export type Command = Schemas["Command"];
export type CommandState = Command["state"];

/** What each state means, for who has not read the guide. */
export const STATE_WORDS: Record<CommandState, string> = {
  queued: "Waits for the device to connect and subscribe.",
  sent: "Written to the device's connection; not confirmed yet.",
  acknowledged: "The device has it.",
  answered: "The device has answered.",
  expired: "Nobody had it in time, or no answer came.",
  cancelled: "Taken back before it was sent.",
};

/** Whether something is still expected to happen. */
export function isOpen({ ended_at }: Command): boolean {
  return ended_at === null;
}

/** The payload as text; null for bytes that are none. */
export function payloadOf(command: Pick<Command, "payload" | "payload_text" | "payload_base64">): string | null {
  if (command.payload !== undefined) return JSON.stringify(command.payload);
  return command.payload_text ?? null;
}

/** What is sent again: the payload without its command's id, and the member that had it. */
export function againOf(command: Command): { payload: string; id_as: string } {
  const { id, payload } = command;
  if (typeof payload !== "object" || payload === null || Array.isArray(payload)) {
    return { payload: payloadOf(command) ?? "", id_as: "" };
  }
  const pairs = Object.entries(payload);
  const id_as = pairs.find(([, value]) => value === id)?.[0] ?? "";
  return { payload: JSON.stringify(Object.fromEntries(pairs.filter(([name]) => name !== id_as)), null, 2), id_as };
}

/** The device's answer as text. */
export function answerOf({ answer }: Command): string | null {
  if (answer === null || answer === undefined) return null;
  const { payload, payload_text, payload_base64 } = answer as Record<string, unknown>;
  if (payload !== undefined) return JSON.stringify(payload);
  if (typeof payload_text === "string") return payload_text;
  return typeof payload_base64 === "string" ? `${payload_base64} (base64)` : "";
}

/** Bytes of a payload that the service takes. */
const PAYLOAD_BYTES_MAX = 64 * 1024;

/** What is wrong with a payload, with line and column if it is to be JSON; null if nothing is. */
export function payloadFault(text: string, isJson: boolean): string | null {
  if (new TextEncoder().encode(text).length > PAYLOAD_BYTES_MAX) return "A payload has at most 64 KiB.";
  if (!isJson) return text === "" ? "The payload is empty." : null;
  if (text.trim() === "") return "The payload is empty.";
  try {
    JSON.parse(text);
  } catch (error) {
    return `This is no JSON: ${placed(error, text)}`;
  }
  // Outside of texts: a number that a browser rounds would reach the device as another one.
  const numbers = text.replace(/"(?:[^"\\]|\\.)*"/g, '""').match(/-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g) ?? [];
  const odd = numbers.find((number) => /^-?\d+$/.test(number) && !Number.isSafeInteger(Number(number)));
  return odd === undefined ? null : `${odd} has more digits than a browser keeps: send it as plain text.`;
}

/** A parser's complaint with the line and column that it is about. */
function placed(error: unknown, text: string): string {
  const message = error instanceof Error ? error.message : String(error);
  const position = /at position (\d+)/.exec(message);
  if (position === null || /line \d/.test(message)) return message;
  const before = text.slice(0, Number(position[1])).split("\n");
  return message.replace(position[0], `in line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}`);
}

export const EXPIRIES = ["1m", "5m", "1h", "1d", "7d", "30d"] as const;
