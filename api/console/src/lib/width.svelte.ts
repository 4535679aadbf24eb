// Whether the window is narrow: a row then has two lines instead of many columns.
// The same width stands in the components' style sheets.
const query = matchMedia("(max-width: 800px)");

class Width {
  narrow = $state(query.matches);

  constructor() {
    query.addEventListener("change", () => (this.narrow = query.matches));
  }
}

export const width = new Width();
