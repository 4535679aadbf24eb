//! Payloads written digit by digit: at full speed the formatter is most of what a publish costs.

const DIGIT_PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

/// Appends a whole number.
pub(crate) fn push_u64(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    while number >= 100 {
        let pair = (number % 100) as usize * 2;
        number /= 100;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&DIGIT_PAIRS[pair..pair + 2]);
    }
    if number >= 10 {
        let pair = number as usize * 2;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&DIGIT_PAIRS[pair..pair + 2]);
    } else {
        at -= 1;
        digits[at] = b'0' + number as u8;
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a whole number that may be negative.
pub(crate) fn push_i64(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    push_u64(out, number.unsigned_abs());
}

/// Appends hundredths as a number with two decimals: `-1805` as `-18.05`.
pub(crate) fn push_hundredths(out: &mut Vec<u8>, hundredths: i64) {
    if hundredths < 0 {
        out.push(b'-');
    }
    let size = hundredths.unsigned_abs();
    push_u64(out, size / 100);
    out.push(b'.');
    let pair = (size % 100) as usize * 2;
    out.extend_from_slice(&DIGIT_PAIRS[pair..pair + 2]);
}

/// Appends `"key":`; the key is a metric's name and may need escapes.
pub(crate) fn push_key(out: &mut Vec<u8>, key: &str) {
    out.push(b'"');
    for byte in key.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.extend_from_slice(b"\":");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn whole_numbers_are_written_as_rust_does() {
        for number in [0, 7, 10, 99, 100, 12_345, 1_764_000_000_000_000, u64::MAX] {
            assert_eq!(written(|out| push_u64(out, number)), number.to_string());
        }
        for number in [0, -1, i64::MIN, i64::MAX] {
            assert_eq!(written(|out| push_i64(out, number)), number.to_string());
        }
    }

    #[test]
    fn hundredths_have_two_decimals() {
        for (hundredths, text) in [(0, "0.00"), (-5, "-0.05"), (-1805, "-18.05"), (250, "2.50")] {
            assert_eq!(written(|out| push_hundredths(out, hundredths)), text);
        }
    }

    #[test]
    fn keys_are_json() {
        assert_eq!(written(|out| push_key(out, r#"a"\b"#)), r#""a\"\\b":"#);
    }
}
