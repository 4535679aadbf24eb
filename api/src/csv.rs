//! Cells of comma-separated values (RFC 4180), safe to open in a spreadsheet.

/// What ends a line.
pub(crate) const LINE_END: &[u8] = b"\r\n";

/// Writes a text as one cell.
///
/// A spreadsheet takes a cell that begins with `=`, `+`, `-`, `@` or a control character for a
/// formula, and what a device sends must not run on the machine of who opens the file (OWASP, "CSV
/// Injection"). Such a text gets a `'` in front, and so does one that begins with `'`: whoever takes
/// one leading `'` away always has the text as it was.
pub(crate) fn text(cell: &str, out: &mut Vec<u8>) {
    // An empty text is a reading's value, an empty cell is none.
    let is_quoted =
        cell.is_empty() || cell.contains(['"', ',', '\r', '\n']) || cell.starts_with(' ');
    if is_quoted {
        out.push(b'"');
    }
    if cell.starts_with(is_risky) {
        out.push(b'\'');
    }
    for part in cell.split_inclusive('"') {
        out.extend_from_slice(part.as_bytes());
        if part.ends_with('"') {
            out.push(b'"');
        }
    }
    if is_quoted {
        out.push(b'"');
    }
}

/// Full-width forms count as well: some spreadsheets read them as the plain ones.
const fn is_risky(c: char) -> bool {
    matches!(c, '=' | '+' | '-' | '@' | '\'' | '＝' | '＋' | '－' | '＠') || c.is_ascii_control()
}

/// Writes a number as JSON does; nothing for what JSON has no number for.
pub(crate) fn number(number: f64, out: &mut Vec<u8>) {
    if number.is_finite() {
        serde_json::to_writer(out, &number).expect("a number into memory");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cell: &str, expected: &str) {
        let mut out = Vec::new();
        text(cell, &mut out);
        assert_eq!(String::from_utf8(out).expect("still UTF-8"), expected);
    }

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        check("", "\"\"");
        check("shut", "shut");
        check("a b", "a b");
        check("a,b", "\"a,b\"");
        check("say \"hi\"", "\"say \"\"hi\"\"\"");
        check("two\nlines", "\"two\nlines\"");
        check("\"", "\"\"\"\"");
    }

    #[test]
    fn no_cell_is_a_formula_and_the_quote_can_be_taken_off() {
        for risky in ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "'quoted", "＝1"] {
            check(risky, &format!("'{risky}"));
        }
        check("=HYPERLINK(\"http://x\",1)", "\"'=HYPERLINK(\"\"http://x\"\",1)\"");
        check("\r=1", "\"'\r=1\"");
        check("1=1", "1=1");
    }

    #[test]
    fn numbers_look_as_they_do_in_json() {
        for it in [-3.5, 1.0, 1e300, 5e-324, 0.1] {
            let mut out = Vec::new();
            number(it, &mut out);
            let text = String::from_utf8(out).expect("ASCII");
            assert_eq!(text, serde_json::json!(it).to_string());
            assert_eq!(text.parse(), Ok(it));
        }
        let mut out = Vec::new();
        number(f64::NAN, &mut out);
        assert!(out.is_empty());
    }
}
