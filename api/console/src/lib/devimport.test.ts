import { describe, expect, it } from "vitest";

import { effectOf, readImport } from "./devimport";

const errors = (text: string): [number, string][] => readImport(text).errors.map(({ line, message }) => [line, message]);

describe("an import", () => {
  it("is CSV with commas, semicolons or tabs; an empty cell says nothing", () => {
    for (const separator of [",", ";"]) {
      const text = ["device,site,kind", 'a,"ber""lin, mitte",', "", "b,bonn,pump"].join("\r\n").replaceAll(",", separator);
      expect(readImport(text)).toEqual({
        rows: [
          { line: 2, device: "a", labels: { site: `ber"lin${separator} mitte` } },
          { line: 4, device: "b", labels: { site: "bonn", kind: "pump" } },
        ],
        errors: [],
      });
    }
    expect(readImport("device\tsite\na\tberlin, mitte").rows).toEqual([{ line: 2, device: "a", labels: { site: "berlin, mitte" } }]);
  });

  it("is a JSON array or JSON line by line; null removes, and the model is a label", () => {
    const rows = [
      { line: 2, device: "a", labels: { site: "bonn", model: "P 2" } },
      { line: 3, device: "b", labels: { site: null } },
    ];
    const [a, b] = ['{"device": "a", "labels": {"site": "bonn"}, "model": "P 2"}', '{"device": "b", "labels": {"site": null}}'];
    expect(readImport(`[\n${a},\n${b}]`)).toEqual({ rows, errors: [] });
    expect(readImport(`\n${a}\n${b}\n`)).toEqual({ rows, errors: [] });
  });

  it("says what is wrong by its line, and goes on with the others", () => {
    const text = "device,site\na,x\n,y\nc/d,z\na,w\ne,f,g\nh,i";
    expect(readImport(text).rows.map(({ device }) => device)).toEqual(["a", "h"]);
    expect(errors(text)).toEqual([
      [3, "The device has no name."],
      [4, "“c/d” is no device: names have no /, + or #, and no control characters."],
      [5, "“a” stands in line 2 already."],
      [6, "There are 3 cells, but 2 columns."],
    ]);
  });

  it("says what is wrong with its columns, its quotes, or its JSON", () => {
    expect(errors("name,site\na,b")).toEqual([[1, "The first line names the columns; one of them is `device`."]]);
    expect(errors("device,site,site\na,b,c")[0]?.[1]).toContain("stands twice");
    expect(errors("device,1st\na,b")[0]?.[1]).toContain("no name of a label");
    expect(errors('device,site\na,"b\nc,d')).toEqual([[2, "A quote is opened here and not closed."]]);
    expect(errors('{"device": "a"}\n{"device": }').map(([line]) => line)).toEqual([2]);
    expect(errors('[{"device": "a"},\n{"device": 1}]')).toEqual([[2, "`device` is missing."]]);
    expect(errors('[{"device": "a", "labels": {"x": 1}}]')).toEqual([[1, "The label “x” is no text."]]);
    expect(errors('{"device": "a", "colour": "red"}')[0]?.[1]).toContain("colour");
    expect(errors('[\n{"device": "a"\n]')).toHaveLength(1);
    expect(readImport("  \n")).toEqual({ rows: [], errors: [] });
  });

  it("may have a quoted cell of several lines", () => {
    expect(errors('device,site\na,"b\nc"\nd,')).toEqual([[2, "A label's value has no control characters."]]);
    expect(readImport('device,site\na,"b"\nd,e').rows.map(({ line }) => line)).toEqual([2, 3]);
  });

  it("tells what it would change", () => {
    const row = { line: 1, device: "a", labels: { site: "bonn", old: null } };
    expect(effectOf(row, undefined)).toBe("new");
    expect(effectOf(row, [["site", "bonn"]])).toBe("same");
    expect(effectOf(row, [["site", "bonn"], ["old", "x"]])).toBe("changed");
  });
});
