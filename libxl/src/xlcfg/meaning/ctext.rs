//! Parsing of texts by the rules of C's library.
//!
//! `xl` reads numbers with strtoul(3), atoi(3) and sscanf(3), and splits lists with strtok(3). `xl`
//! accepts what these functions accept, so their rules are followed here: blanks and a sign before
//! a number, what follows a number left for the caller, negative numbers that wrap round.

/// Parses a number, and returns it with the text behind it; `None` where there is no digit.
///
/// As strtoul(3): 2⁶⁴−1 for a number that is too large. A base of 0 finds the base by the prefix
/// `0x` or `0`.
pub(super) fn unsigned(text: &str, base: u32) -> Option<(u64, &str)> {
    let (negative, base, digits) = start(text, base)?;
    let mut value = Some(0_u64);
    let end = digits
        .find(|c: char| c.to_digit(base).is_none())
        .unwrap_or(digits.len());
    for digit in digits[..end].chars().filter_map(|c| c.to_digit(base)) {
        value = value
            .and_then(|value| value.checked_mul(base.into()))
            .and_then(|value| value.checked_add(digit.into()));
    }
    let value = match value {
        Some(value) if negative => value.wrapping_neg(),
        Some(value) => value,
        None => u64::MAX,
    };
    Some((value, &digits[end..]))
}

/// Returns the sign, the base and the text from the first digit on.
fn start(text: &str, base: u32) -> Option<(bool, u32, &str)> {
    let text = text.trim_start_matches(is_space);
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let hex = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_hexdigit()));
    let (base, digits) = match (base, hex) {
        (0 | 16, Some(rest)) => (16, rest),
        (0, None) if text.starts_with('0') => (8, text),
        (0, None) => (10, text),
        _ => (base, text),
    };
    digits
        .starts_with(|c: char| c.is_digit(base))
        .then_some((negative, base, digits))
}

/// Parses a number and ignores the text behind it; 0 where there is no number. As strtoul(3)
/// without its end pointer.
pub(super) fn loose(text: &str) -> u64 {
    unsigned(text, 0).map_or(0, |(value, _)| value)
}

/// Parses a number as atoi(3): decimal, 0 where there is no number. A number that does not fit is
/// cut.
pub(super) fn atoi(text: &str) -> i32 {
    let negative = text.trim_start_matches(is_space).starts_with('-');
    let Some((value, _)) = unsigned(text, 10) else {
        return 0;
    };
    // strtol(3), which atoi(3) is made of, stops at the ends of its range.
    let value = if negative {
        i64::try_from(value.wrapping_neg()).map_or(i64::MIN, |value| -value)
    } else {
        i64::try_from(value).unwrap_or(i64::MAX)
    };
    cut_i32(value)
}

/// The low 32 bits, as C assigns a `long` to an `int`.
#[allow(clippy::cast_possible_truncation)] // The cut is intended.
pub(super) fn cut_i32(value: i64) -> i32 {
    value as i32
}

/// The low 32 bits, as C assigns a `long` to an `unsigned int`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // The cut is intended.
pub(super) fn cut_u32(value: i64) -> u32 {
    value as u32
}

/// The low bits, as C assigns an `unsigned long` to an `unsigned int`.
#[allow(clippy::cast_possible_truncation)] // The cut is intended.
pub(super) fn low_u32(value: u64) -> u32 {
    value as u32
}

/// Blanks in the C locale.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

/// Returns the parts between commas, without empty ones and without the spaces before them. `xl`
/// splits most devices this way.
pub(super) fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .filter(|part| !part.is_empty())
        .map(|part| part.trim_start_matches(' '))
}

/// Returns the parts between the characters of `separators`, without empty ones. `None` for no
/// part, which `xl` does not survive.
pub(super) fn split<'a>(text: &'a str, separators: &[char]) -> Option<Vec<&'a str>> {
    let parts: Vec<&str> = text
        .split(separators)
        .filter(|part| !part.is_empty())
        .collect();
    (!parts.is_empty()).then_some(parts)
}

/// Splits a name and a value.
///
/// `whole` is for Xen 4.18 and later: the value goes to the end of the text. Up to 4.17 the value
/// ends at a second separator, and separators before the name are skipped.
pub(super) fn pair(text: &str, separator: char, whole: bool) -> Option<(&str, &str)> {
    if whole {
        return text
            .split_once(separator)
            .filter(|(_, value)| !value.is_empty());
    }
    let mut parts = text.split(separator).filter(|part| !part.is_empty());
    Some((parts.next()?, parts.next()?))
}

/// As [`pair`], without the blanks around both.
pub(super) fn trimmed_pair(text: &str, separator: char, whole: bool) -> Option<(&str, &str)> {
    let (name, value) = pair(text, separator, whole)?;
    Some((name.trim_matches(is_space), value.trim_matches(is_space)))
}

/// Parses a range of decimal numbers, `3` or `3-5`; `None` for anything else, a descending range
/// included.
pub(super) fn range(text: &str) -> Option<(u64, u64)> {
    let (first, rest) = unsigned(text, 10).filter(|(value, _)| *value != u64::MAX)?;
    let Some(after) = rest.strip_prefix('-') else {
        return rest.is_empty().then_some((first, first));
    };
    let (last, rest) = unsigned(after, 10).filter(|(value, _)| *value != u64::MAX)?;
    (rest.is_empty() && first <= last).then_some((first, last))
}

/// Returns true if `text` is a prefix of `word`. `xl` compares some words this way, and takes `h`
/// for `hvm`.
pub(super) fn begins(word: &str, text: &str) -> bool {
    word.starts_with(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_c() {
        assert_eq!(unsigned(" +12x", 10), Some((12, "x")));
        assert_eq!(unsigned("0x1f", 0), Some((31, "")));
        assert_eq!(unsigned("0x", 16), Some((0, "x")));
        assert_eq!(unsigned("017", 0), Some((15, "")));
        assert_eq!(unsigned("-1", 10), Some((u64::MAX, "")));
        assert_eq!(unsigned("99999999999999999999", 10), Some((u64::MAX, "")));
        assert_eq!(unsigned("x", 10), None);
        assert_eq!(atoi("-3,"), -3);
        assert_eq!(atoi("no"), 0);
        assert_eq!(atoi("99999999999999999999"), -1);
    }

    #[test]
    fn texts_are_split_as_xl_does() {
        assert_eq!(parts("a, b,,c").collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(split(",,", &[',']), None);
        assert_eq!(pair("a=b=c", '=', true), Some(("a", "b=c")));
        assert_eq!(pair("a=b=c", '=', false), Some(("a", "b")));
        assert_eq!(pair("a=", '=', true), None);
        assert_eq!(trimmed_pair(" a = b ", '=', true), Some(("a", "b")));
        assert_eq!(range("3"), Some((3, 3)));
        assert_eq!(range("3-5"), Some((3, 5)));
        assert_eq!(range("5-3"), None);
        assert_eq!(range("3-5x"), None);
        assert_eq!(range("-1"), None);
    }
}
