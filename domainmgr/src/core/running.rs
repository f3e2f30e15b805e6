//! The domain, if something can be done to it while it runs.

use super::state::domain::{Domain, Interrupted};
use super::state::facts::Facts;
use crate::toolstack::{Life, ShutdownReason};

/// State of a domain that was asked to suspend for a save of this agent, which nobody wants any more.
pub(super) const GIVEN_UP: &str =
    "suspended for a save that came to nothing; it is being let go on";

/// Reason for which nothing can be done to a suspended domain.
pub(super) fn suspended(domain: &Domain) -> String {
    let id = domain.id;
    if domain
        .interrupted
        .as_ref()
        .is_some_and(Interrupted::is_save)
    {
        return format!("domain {id} is {GIVEN_UP}: try again in a moment");
    }
    format!(
        "domain {id} is suspended, for a save or a migration: resume it if it runs nowhere else, stop it if it does"
    )
}

/// Returns the domain, if it can be paused or unpaused; otherwise the reason why not.
pub(super) fn running(f: &Facts) -> Result<&Domain, String> {
    match f.phase.domain() {
        None => Err("there is no domain".to_owned()),
        Some(_) if f.phase.goes_down() => Err("it is being brought down".to_owned()),
        Some(_) if !f.phase.is_started() => Err("it is being built".to_owned()),
        Some(domain) => match domain.life {
            Life::Running | Life::Paused => Ok(domain),
            Life::Shutdown(ShutdownReason::SUSPEND) => Err(suspended(domain)),
            Life::Shutdown(_) | Life::Dying => Err("it has ended".to_owned()),
        },
    }
}
