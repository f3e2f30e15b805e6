//! The keys of the agent's own in a file of xl's, which xl ignores.

use libxl::xlcfg::{Place, XlConfig};

use super::words::words;
use crate::spec::with_host::{OnHostStop, WithHost, check_after};

/// Beginning of all keys of the agent's own.
const OURS: &str = "domainmgr_";
const PRIORITY: &str = "domainmgr_priority";
const AFTER: &str = "domainmgr_after";
const ON_HOST_STOP: &str = "domainmgr_on_host_stop";
const ACTIVATE: &str = "domainmgr_activate";
/// All keys of the agent's own.
const ALL: [&str; 4] = [PRIORITY, AFTER, ON_HOST_STOP, ACTIVATE];

/// Returns whether this key is one of the agent's own.
pub(crate) fn is_ours(key: &str) -> bool {
    ALL.contains(&key)
}

/// Reads the keys of the agent's own.
///
/// # Errors
/// The first value that is wrong, or a key of that kind that there is not. The text has the place.
pub(super) fn read(config: &XlConfig) -> Result<WithHost, String> {
    let at = |key: &str, why: String| at(config, key, &why);
    let stranger = |key: &&str| key.starts_with(OURS) && !is_ours(key);
    if let Some(key) = config.keys().into_iter().find(stranger) {
        let why = format!("there is no such key, only {}", ALL.join(", "));
        return Err(at(key, why));
    }
    let number = config.number(PRIORITY).map_err(|e| words(&e))?;
    let priority = i32::try_from(number.unwrap_or_default());
    let priority = priority.map_err(|_| at(PRIORITY, "out of bounds".to_owned()))?;
    let after = config.strings(AFTER).map_err(|e| words(&e))?;
    let after = after.unwrap_or_default();
    check_after(&after).map_err(|e| at(AFTER, e))?;
    let word = config.string(ON_HOST_STOP).map_err(|e| words(&e))?;
    let on_stop = OnHostStop::parse(&word.unwrap_or_default());
    Ok(WithHost {
        priority,
        after,
        on_stop: on_stop.map_err(|e| at(ON_HOST_STOP, e))?,
    })
}

/// Returns whether the file asks for its domain to run, as it does unless it says otherwise.
///
/// # Errors
/// The value is neither 0 nor 1. The text has the place.
pub(super) fn activate(config: &XlConfig) -> Result<bool, String> {
    match config.number(ACTIVATE).map_err(|e| words(&e))? {
        None | Some(1) => Ok(true),
        Some(0) => Ok(false),
        Some(other) => {
            let why = format!("expected 0 or 1, found {other}");
            Err(at(config, ACTIVATE, &why))
        }
    }
}

/// Adds the place of a key to the reason why its value is wrong.
fn at(config: &XlConfig, key: &str, why: &str) -> String {
    match config.place(key) {
        Some(Place::Line(line)) => format!("{}:{line}: {key}: {why}", config.name()),
        _ => format!("{}: {key}: {why}", config.name()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may")]

    use super::*;

    fn read_text(text: &str) -> Result<WithHost, String> {
        read(&XlConfig::parse(text, "web.cfg").unwrap())
    }

    #[test]
    fn they_are_read() {
        assert_eq!(read_text("name = \"web\"\n"), Ok(WithHost::default()));
        let text = "domainmgr_priority = \"-3\"\ndomainmgr_after = [\"db\", \"cache\"]\n\
                    domainmgr_on_host_stop = \"save\"\n";
        let found = WithHost {
            priority: -3,
            after: vec!["db".to_owned(), "cache".to_owned()],
            on_stop: Some(OnHostStop::Save),
        };
        assert_eq!(read_text(text), Ok(found));
    }

    #[test]
    fn a_file_asks_for_its_domain_to_run_unless_it_says_otherwise() {
        let of = |text: &str| activate(&XlConfig::parse(text, "web.cfg").unwrap());
        assert_eq!(of("name = \"web\"\n"), Ok(true));
        assert_eq!(of("domainmgr_activate = 1\n"), Ok(true));
        assert_eq!(of("domainmgr_activate = 0\n"), Ok(false));
        let why = of("\ndomainmgr_activate = 2\n").unwrap_err();
        assert_eq!(
            why,
            "web.cfg:2: domainmgr_activate: expected 0 or 1, found 2"
        );
        assert_eq!(
            read_text("domainmgr_activate = 0\n"),
            Ok(WithHost::default())
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (text, words) in [
            (
                "domainmgr_on_host_stop = \"sleep\"",
                "web.cfg:1: domainmgr_on_host_stop: expected \"save\" or \"shutdown\", found \"sleep\"",
            ),
            (
                "\ndomainmgr_after = [\"\"]",
                "web.cfg:2: domainmgr_after: the name of domain 1 is empty",
            ),
            (
                "domainmgr_afer = [\"db\"]",
                "web.cfg:1: domainmgr_afer: there is no such key, only",
            ),
            ("domainmgr_priority = \"high\"", "domainmgr_priority"),
            (
                "domainmgr_priority = 99999999999",
                "web.cfg:1: domainmgr_priority: out of bounds",
            ),
        ] {
            let why = read_text(text).unwrap_err();
            assert!(why.contains(words), "{why}");
            assert!(why.contains("web.cfg"), "{why}");
        }
    }
}
