//! `cargo xtask lab --soak N`: starts a guest N times, and counts how often it comes up.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use super::Lab;

/// The script that runs in dom0.
const SCRIPT: &str = include_str!("soak.sh");

/// Number of guests that boot side by side: as many as the computer has processors.
const LANES: u32 = 2;

/// Results of the boots.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    /// Seconds from `create` to the guest's first line, for each guest that came up.
    up: Vec<f32>,
    /// Guests that ended before their first line.
    ended: u32,
    /// Guests that neither came up nor ended.
    hung: u32,
    /// Guests whose processor was reset, according to Xen's log.
    triple_faults: u32,
}

impl Tally {
    fn see(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["boot", _, "up", seconds] => self.up.extend(seconds.parse::<f32>()),
            ["boot", _, "ended"] => self.ended += 1,
            ["boot", _, "hung"] => self.hung += 1,
            ["triple", "faults", number] => self.triple_faults += number.parse().unwrap_or(1),
            _ => {}
        }
    }

    /// Returns whether all guests came up at the first try.
    fn is_good(&self, boots: usize) -> bool {
        self.up.len() == boots && self.triple_faults == 0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut up = self.up.clone();
        up.sort_by(f32::total_cmp);
        write!(
            f,
            "{} boots came up, {} ended before, {} hung, {} triple faults",
            up.len(),
            self.ended,
            self.hung,
            self.triple_faults
        )?;
        if let (Some(least), Some(most)) = (up.first(), up.last()) {
            write!(
                f,
                "; seconds to the first line: {least:.1} least, {:.1} median, {most:.1} most",
                up[up.len() / 2]
            )?;
        }
        Ok(())
    }
}

/// Boots a PVH Linux guest `boots` times. The exit code is zero only if every guest came up at the first try.
pub(crate) fn run(lab: &Lab, boots: usize) -> Result<ExitCode> {
    println!("soak: {boots} boots of a PVH Linux guest, {LANES} at a time");
    let mut child = lab
        .command(&format!("boots={boots} lanes={LANES}\n{SCRIPT}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run ssh")?;
    let stdout = child.stdout.take().context("ssh has no output")?;
    let mut tally = Tally::default();
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        println!("{line}");
        tally.see(&line);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("the soak's script in dom0: {status}");
    }
    println!("soak: {tally}");
    Ok(if tally.is_good(boots) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boots_are_counted_by_what_became_of_them() {
        let mut tally = Tally::default();
        for line in [
            "boot 1 up 15.5",
            "boot 2 up 14.0",
            "noise",
            "triple faults 0",
        ] {
            tally.see(line);
        }
        assert!(tally.is_good(2));
        assert!(!tally.is_good(3), "one is missing");
        assert_eq!(
            tally.to_string(),
            "2 boots came up, 0 ended before, 0 hung, 0 triple faults; \
             seconds to the first line: 14.0 least, 15.5 median, 15.5 most"
        );
        for line in ["boot 3 ended", "boot 4 hung", "triple faults 1"] {
            tally.see(line);
        }
        assert!(!tally.is_good(2), "a triple fault is one too many");
        assert!(
            tally
                .to_string()
                .starts_with("2 boots came up, 1 ended before, 1 hung, 1 triple")
        );
    }
}
