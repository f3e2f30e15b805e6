//! Steps that run while others do, on processors that these leave idle: tests and labs often wait, and compilers do not always have work
//! for each processor.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::steps::Steps;
use crate::{paths, tool};

/// This program with other arguments, in another process, whose output goes into a file.
#[derive(Debug)]
pub(super) struct Beside {
    name: &'static str,
    process: Child,
    output: PathBuf,
    results: PathBuf,
}

impl Beside {
    /// Starts `cargo xtask test` with `options`. It only runs on idle processors, so that it takes none from the steps beside it.
    pub(super) fn start(name: &'static str, options: &[&str]) -> Result<Self> {
        let dir = paths::root().join("target/test");
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let file = |extension| dir.join(format!("{}.{extension}", name.replace(' ', "-")));
        let (output, results) = (file("log"), file("json"));
        // Results of an earlier run would look like those of this one.
        let _ = fs::remove_file(&results);
        let log =
            File::create(&output).with_context(|| format!("cannot write {}", output.display()))?;
        let process = modest()
            .arg(std::env::current_exe()?)
            .arg("test")
            .args(options)
            .arg("--results")
            .arg(&results)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot run setpriv")?;
        println!("\n=== {name}, beside what follows: {}", output.display());
        Ok(Self {
            name,
            process,
            output,
            results,
        })
    }

    /// Waits for the end, prints the output, and returns the steps that have run.
    pub(super) fn finish(mut self) -> Result<Steps> {
        let status = self.process.wait()?;
        let output = fs::read(&self.output)
            .with_context(|| format!("cannot read {}", self.output.display()))?;
        println!("\n=== {}, the output", self.name);
        println!("{}", String::from_utf8_lossy(&output).trim_end());
        let Ok(results) = fs::read(&self.results) else {
            bail!("{} ended early, with {status}", self.name);
        };
        Ok(serde_json::from_slice(&results)?)
    }
}

/// Returns a command that runs a program, given as its arguments, on idle processors only. Where that is not allowed, the program is merely
/// the last whose turn comes.
fn modest() -> Command {
    let idle = ["--idle", "0"];
    let can = tool::output(Command::new("chrt").args(idle).arg("true")).is_ok();
    let (program, words) = if can {
        ("chrt", idle)
    } else {
        ("nice", ["-n", "19"])
    };
    let mut command = tool::dies_with_us("TERM", program);
    command.args(words);
    command
}
