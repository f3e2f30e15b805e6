//! File trees made from Debian packages.

use std::path::Path;
use std::process::Command;

use anyhow::{Error, Result, anyhow};

use crate::{paths, tool};

/// Returns a `mmdebstrap` command. Options, a release and a target follow in this order; [`from_mirror`] adds the mirror.
pub(crate) fn command() -> Command {
    tool::builder("mmdebstrap")
}

/// Adds the mirror, if `LIBXL_LAB_MIRROR` names one.
pub(crate) fn from_mirror(command: &mut Command) -> &mut Command {
    if let Some(mirror) = paths::mirror() {
        command.arg(mirror);
    }
    command
}

/// Runs the command, with the output in `log`.
pub(crate) fn run(command: &mut Command, log: &Path) -> Result<()> {
    tool::logged(from_mirror(command), log).map_err(|error| in_words(error, log))
}

/// Explains an error of mmdebstrap: if the log says that packages could not be downloaded, the error says so.
pub(crate) fn in_words(error: Error, log: &Path) -> Error {
    match unreachable(&tool::tail(log, 40)) {
        Some(why) => anyhow!(
            "cannot download Debian packages: {why}. Is there a network? LIBXL_LAB_MIRROR names another mirror. Full log: {}",
            log.display()
        ),
        None => error,
    }
}

/// Returns the line in which apt says why it could not reach the mirror.
fn unreachable(log: &str) -> Option<&str> {
    const REASONS: [&str; 5] = [
        "Temporary failure resolving",
        "Could not resolve",
        "Could not connect",
        "Cannot initiate the connection",
        "Connection failed",
    ];
    log.lines()
        .map(str::trim)
        .find(|line| REASONS.iter().any(|reason| line.starts_with(reason)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_network_is_told_from_a_broken_package() -> Result<()> {
        let log = tempfile::NamedTempFile::new()?;
        std::fs::write(
            log.path(),
            "Err:1 http://mirror trixie InRelease\n  Temporary failure resolving 'mirror'\nReading package lists...\n",
        )?;
        let error = in_words(anyhow!("exit status: 25"), log.path()).to_string();
        assert!(
            error.contains("resolving 'mirror'. Is there a network?"),
            "{error}"
        );
        std::fs::write(log.path(), "E: Unable to locate package xen-utils-4.17\n")?;
        let error = in_words(anyhow!("exit status: 25"), log.path()).to_string();
        assert_eq!(error, "exit status: 25");
        Ok(())
    }
}
