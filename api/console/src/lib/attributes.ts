// Attributes and listeners that a part passes on to its element, whichever they are. Svelte's own
// `{...rest}` does the same, and brings what knows styles, classes and values, which no part passes on.
import type { Attachment } from "svelte/attachments";
import { on } from "svelte/events";

/** `<input {@attach attributes({ ...rest, ...control })} />` */
export function attributes(all: object): Attachment<HTMLElement> {
  return (element) => {
    const ends = Object.entries(all).map(([name, value]) => {
      if (typeof value === "function") return on(element, name.slice("on".length), value as EventListener);
      // `disabled` is there or not; `aria-pressed` says which.
      const says = typeof value !== "boolean" || /^(aria-|spellcheck)/.test(name);
      if (value === undefined || value === null || (!says && !value)) element.removeAttribute(name);
      else element.setAttribute(name, says ? String(value) : "");
      return () => undefined;
    });
    return () => ends.forEach((end) => end());
  };
}
