//! Logs and states that explain a failure in a lab.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Lab;

/// Number of times the processors are inspected, to tell a hanging processor from a working one.
const LOOKS: u32 = 3;

/// Pause between two inspections.
const PAUSE: Duration = Duration::from_millis(300);

impl Lab {
    /// Collects logs and states that explain a failure into `results`, a new directory. The computer still runs.
    ///
    /// The host's own view comes first: there is nothing else if dom0 does not answer, which is an error.
    pub(crate) fn collect(&mut self, results: &Path) -> Result<()> {
        if results.exists() {
            fs::remove_dir_all(results)?;
        }
        fs::create_dir_all(results)?;
        fs::copy(self.dir.join("serial.log"), results.join("serial.log"))?;
        fs::write(results.join("computer"), self.computer())?;

        let remote = "/share/results";
        let inside = self.dir.join("share/results");
        self.output(&format!(
            "rm -rf {remote} && mkdir {remote} && cd {remote} && cp -r /var/log/xen xen && dmesg >dmesg && ps -ef >ps &&
             xenstore-ls -f >xenstore; /usr/lib/xen-*/bin/xl dmesg >xen-dmesg 2>/dev/null; /usr/lib/xen-*/bin/xl list >domains 2>/dev/null; true"
        ))?;
        for entry in fs::read_dir(&inside)? {
            let entry = entry?;
            fs::rename(entry.path(), results.join(entry.file_name()))
                .context("cannot take the logs over")?;
        }
        Ok(())
    }

    /// Returns the state of the computer and its processors, several times. An error of QEMU is part of the text, and the rest follows.
    fn computer(&mut self) -> String {
        let mut text = String::new();
        for look in 0..LOOKS {
            if look > 0 {
                thread::sleep(PAUSE);
            }
            for question in [
                "info status",
                "info registers -a",
                "info lapic 0",
                "info lapic 1",
            ] {
                let answer = match self.machine.ask(question) {
                    Ok(answer) => answer,
                    Err(error) => format!("{error:#}"),
                };
                let _ = writeln!(text, "({question})\n{answer}");
            }
        }
        text
    }
}
