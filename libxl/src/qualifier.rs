//! What a person writes for a domain or a CPU pool: its number, or its name.

use crate::{Error, ErrorKind, Result};

/// The number that is meant, if it is one. libxl cuts one that is too long for it and finds another
/// domain, so numbers are read here.
pub(crate) fn number(function: &'static str, text: &str) -> Result<Option<u32>> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(Error::new(ErrorKind::Invalid, function)
            .with_message(format!("{text}: larger than {}", u32::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::number;
    use crate::ErrorKind;

    #[test]
    fn a_number_is_not_cut_and_nothing_is_no_number() {
        for (text, meant) in [
            ("", None),
            ("web", None),
            ("7a", None),
            ("-1", None),
            (" 7", None),
            ("٣", None),
            ("0", Some(0)),
            ("007", Some(7)),
            ("4294967295", Some(u32::MAX)),
        ] {
            assert_eq!(number("f", text).unwrap(), meant, "{text:?}");
        }
        for long in ["4294967296", "4294967297", "99999999999999999999999"] {
            let error = number("f", long).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{long}");
            assert!(error.to_string().contains(long), "{error}");
        }
    }
}
