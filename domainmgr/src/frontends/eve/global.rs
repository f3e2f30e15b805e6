//! `GlobalConfig`: EVE's settings, as far as they concern this agent.

use serde_json::{Map, Value};

use crate::base::field_error::FieldError;
use crate::spec::settings::{Complaint, Settings};

/// Applies a `GlobalConfig` file: EVE's own fields, and this agent's keys by their dotted names.
///
/// EVE's fields are those for the boot retry, the copies of images, USB access and the log level. Known settings with an
/// unusable value are returned. Unknown settings belong to other agents and are skipped.
///
/// # Errors
/// The text is not a JSON object. No setting was applied.
pub fn apply(text: &[u8], settings: &mut Settings) -> Result<Vec<Complaint>, FieldError> {
    let members: Map<String, Value> = serde_json::from_slice(text)
        .map_err(|e| FieldError::new("", format!("not a JSON object: {e}")))?;
    let mut complaints = Vec::new();
    for (name, value) in &members {
        let text = match value {
            Value::String(s) => s.clone(),
            other => other.to_string(),
        };
        let ours = [
            ("DomainBootRetryTime", "timer.boot.retry"),
            ("VdiskGCTime", "timer.gc.vdisk"),
            ("UsbAccess", "debug.enable.usb"),
            ("DefaultLogLevel", "debug.default.loglevel"),
        ];
        let key = match ours
            .iter()
            .find(|(eves, _)| name.eq_ignore_ascii_case(eves))
        {
            // Go's zero value: not set.
            Some(_) if text == "0" || text.is_empty() => continue,
            Some((_, key)) => *key,
            None => name,
        };
        if Settings::KEYS.iter().any(|(known, _)| *known == key) {
            complaints.extend(settings.set(key, &text).err());
        }
    }
    // Each of EVE's agents may have its own log level.
    let own = members
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("AgentSettings"))
        .and_then(|(_, agents)| agents.get("domainmgr")?.get("LogLevel")?.as_str());
    if let Some(level) = own.filter(|level| !level.is_empty()) {
        complaints.extend(settings.set("debug.default.loglevel", level).err());
    }
    Ok(complaints)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn eves_field_and_our_keys() {
        let mut s = Settings::default();
        let text = br#"{"DomainBootRetryTime": 120, "vdiskGCTime": 7200, "UsbAccess": false, "timer.shutdown.graceful": 7, "domain.poweroff.policy": "never"}"#;
        let complaints = apply(text, &mut s).unwrap();
        assert_eq!(s.boot_retry, Duration::from_secs(120));
        assert_eq!(s.graceful, Duration::from_secs(7));
        assert_eq!(s.image_gc, Duration::from_secs(7200));
        assert!(!s.usb_access);
        assert_eq!(
            complaints[0].to_string(),
            "domain.poweroff.policy: expected halt or retry, found \"never\""
        );
        assert!(apply(b"{", &mut s).is_err());
        let text = br#"{"AgentSettings": {"domainmgr": {"LogLevel": "warning"}}, "DefaultLogLevel": "debug"}"#;
        assert!(apply(text, &mut s).unwrap().is_empty());
        assert_eq!(s.log_level, log::LevelFilter::Warn);
    }

    #[test]
    fn zero_is_not_set() {
        let mut s = Settings::default();
        assert!(
            apply(br#"{"DomainBootRetryTime": 0}"#, &mut s)
                .unwrap()
                .is_empty()
        );
        assert_eq!(s, Settings::default());
    }
}
