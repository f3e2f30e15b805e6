//! The host's log.

use syslog::{Facility, Formatter3164};

/// Writes to the host's log, as the scripts do. A host without one is no reason to fail.
pub(crate) fn error(name: &str, text: &str) {
    let formatter = Formatter3164 {
        facility: Facility::LOG_DAEMON,
        hostname: None,
        process: name.to_owned(),
        pid: std::process::id(),
    };
    if let Ok(mut log) = syslog::unix(formatter) {
        let _ = log.err(text);
    }
}
