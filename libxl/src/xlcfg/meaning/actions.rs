//! The actions after a domain has shut down.

use super::reader::{Reader, Result};
use crate::config::{ActionOnShutdown, DomainConfig};

/// Reads the actions, each with its default.
pub(super) fn read(reader: &Reader<'_>, config: &mut DomainConfig) -> Result<()> {
    config.on_poweroff = action(reader, "on_poweroff", ActionOnShutdown::Destroy)?;
    config.on_reboot = action(reader, "on_reboot", ActionOnShutdown::Restart)?;
    config.on_watchdog = action(reader, "on_watchdog", ActionOnShutdown::Destroy)?;
    config.on_crash = action(reader, "on_crash", ActionOnShutdown::Destroy)?;
    config.on_soft_reset = action(reader, "on_soft_reset", ActionOnShutdown::SoftReset)?;
    Ok(())
}

/// Reads an action. `xl` has its own words for the actions, and takes no others: `rename-restart`
/// is one, libxl's `restart_rename` is not.
fn action(reader: &Reader<'_>, key: &str, default: ActionOnShutdown) -> Result<ActionOnShutdown> {
    let Some(text) = reader.text(key) else {
        return Ok(default);
    };
    let known = ActionOnShutdown::KNOWN;
    match known.iter().find(|action| action.to_string() == text) {
        Some(action) => Ok(action.clone()),
        None => {
            let words: Vec<String> = known.iter().map(ToString::to_string).collect();
            let message = format!("{text:?} is no action; write one of {}", words.join(", "));
            reader.refuse(key, message)
        }
    }
}
