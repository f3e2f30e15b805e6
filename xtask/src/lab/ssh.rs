//! Commands in dom0, all through one connection. Under emulation a connection takes half a second to open, and a command on it a tenth.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::patience::Patience;
use crate::tool;

/// A connection to dom0. Dropping it ends the commands on it.
#[derive(Debug)]
pub(crate) struct Ssh {
    dir: PathBuf,
    master: Child,
}

impl Ssh {
    /// Connects to `port` with the private key `key`. The control socket is in `dir`.
    pub(crate) fn connect(
        dir: &Path,
        port: u16,
        key: &Path,
        mut patience: Patience,
    ) -> Result<Self> {
        loop {
            let mut command = tool::dies_with_us("TERM", "ssh");
            command
                .args(["-F", "none", "-N", "-M", "-S", "ssh", "-i"])
                .arg(key)
                // Offers only this key: sshd accepts six attempts, and an agent may hold more keys.
                .args(["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"])
                // The other end is our own computer, made a moment ago, behind the loopback address.
                .args([
                    "-o",
                    "StrictHostKeyChecking=no",
                    "-o",
                    "UserKnownHostsFile=/dev/null",
                ])
                .args([
                    "-o",
                    "BatchMode=yes",
                    "-o",
                    "LogLevel=ERROR",
                    "-o",
                    "ConnectTimeout=30",
                ])
                .args(["-p", &port.to_string(), "root@127.0.0.1"])
                .current_dir(dir)
                .stdin(Stdio::null());
            let mut ssh = Self {
                dir: dir.to_owned(),
                master: command.spawn().context("cannot run ssh")?,
            };
            let socket = dir.join("ssh");
            while ssh.master.try_wait()?.is_none() && !patience.is_over() {
                if socket.exists() {
                    return Ok(ssh);
                }
                thread::sleep(Duration::from_millis(10));
            }
            if patience.is_over() {
                bail!("dom0 runs but its sshd does not answer");
            }
            thread::sleep(Duration::from_millis(300));
        }
    }

    /// Returns a command line for dom0's shell, not yet started.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = self.base();
        command.args(["-T", "lab", line]);
        command
    }

    /// Runs a login shell, with a terminal if there is one here.
    pub(crate) fn shell(&self) -> Result<ExitStatus> {
        let mut command = self.base();
        if std::io::stdin().is_terminal() {
            command.args(["-t", "lab"]);
        } else {
            command.args(["-T", "lab", "bash -l"]);
        }
        command.status().context("cannot run ssh")
    }

    /// Has dom0's sshd forward a port of dom0's loopback address to `target` here: `ADDRESS:PORT`, or the path of a socket.
    pub(crate) fn forward(&self, port: u16, target: &str) -> Result<()> {
        let mut command = self.base();
        command.args(["-O", "forward", "-R"]);
        command.arg(format!("127.0.0.1:{port}:{target}"));
        tool::output(command.arg("lab"))?;
        Ok(())
    }

    fn base(&self) -> Command {
        let mut command = Command::new("ssh");
        command
            .args([
                "-F",
                "none",
                "-o",
                "ControlMaster=no",
                // Without the connection below, ssh would try to reach a computer of this name.
                "-o",
                "ProxyCommand=false",
                "-o",
                "BatchMode=yes",
                "-o",
                "LogLevel=ERROR",
                "-S",
            ])
            .arg(self.dir.join("ssh"))
            .args(["-o", "SendEnv=RUST_* LIBXL_*"]);
        command
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        let _ = self.master.kill();
        let _ = self.master.wait();
    }
}
