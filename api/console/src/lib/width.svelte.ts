// Whether the window is narrow: a row then has two lines instead of many columns.
// The same width stands in the components' style sheets.
const query = matchMedia("(max-width: 800px)");

/** Whether a row of many words has no room. */
const medium = matchMedia("(max-width: 1150px)");

class Width {
  narrow = $state(query.matches);
  medium = $state(medium.matches);

  constructor() {
    query.addEventListener("change", () => (this.narrow = query.matches));
    medium.addEventListener("change", () => (this.medium = medium.matches));
  }
}

export const width = new Width();
