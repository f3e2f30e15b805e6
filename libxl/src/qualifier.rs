//! The number or the name that a user gives for a domain or a CPU pool, and the errors for unknown
//! names.

use crate::{Error, ErrorKind, Result};

/// Returns the number if `text` is one, and `None` for a name.
///
/// Numbers are parsed here because libxl truncates a number that is too large, and then finds
/// another domain.
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

/// The error of a function that looks for a domain by its name.
pub(crate) fn no_domain(error: Error, name: &str) -> Error {
    not_called(error, ErrorKind::DomainNotFound, "domain", name)
}

/// The error of a function that looks for a CPU pool by its name.
pub(crate) fn no_pool(error: Error, name: &str) -> Error {
    not_called(error, ErrorKind::NotFound, "CPU pool", name)
}

/// Gives an unknown name its own error. libxl returns `ERROR_INVAL` for an unknown name, and any
/// other code if the lookup itself failed.
fn not_called(error: Error, kind: ErrorKind, what: &str, name: &str) -> Error {
    match error.kind() {
        ErrorKind::Invalid => error
            .with_kind(kind)
            .with_message(format!("no {what} is called {name:?}")),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::{no_domain, no_pool, number};
    use crate::{Error, ErrorKind};

    type Unknown = fn(Error, &str) -> Error;

    #[test]
    fn only_an_unknown_name_is_not_found() {
        for (error_of, kind, name) in [
            (no_domain as Unknown, ErrorKind::DomainNotFound, "web"),
            (no_pool, ErrorKind::NotFound, "quiet"),
        ] {
            let unknown = error_of(Error::from_code("f", -6), name);
            assert_eq!(unknown.kind(), kind);
            assert!(
                unknown.to_string().contains(&format!("{name:?}")),
                "{unknown}"
            );
            let other = error_of(Error::from_code("f", -5), name);
            assert_eq!(other.kind(), ErrorKind::NoMemory);
        }
    }

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
