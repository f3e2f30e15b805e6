//! QEMU's control socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// A connection to a running QEMU.
#[derive(Debug)]
pub(crate) struct Qmp {
    reader: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects to QEMU. Between tries, `alive` fails if waiting makes no sense any more.
    pub(crate) fn connect(socket: &Path, mut alive: impl FnMut() -> Result<()>) -> Result<Self> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > deadline => {
                    return Err(error).context("QEMU's control socket does not answer");
                }
                Err(_) => {
                    alive()?;
                    thread::sleep(Duration::from_millis(20));
                }
            }
        };
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut qmp = Self {
            reader: BufReader::new(stream),
        };
        qmp.read()?;
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Runs one command and returns its result.
    pub(crate) fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        self.send(command, arguments)?;
        loop {
            let mut answer = self
                .read()
                .with_context(|| format!("QEMU command {command}"))?;
            if let Some(error) = answer.get("error") {
                bail!("QEMU command {command}: {error}");
            }
            if let Some(result) = answer.get_mut("return") {
                return Ok(result.take());
            }
            // All other messages are events.
        }
    }

    /// Asks QEMU to end. It may be gone before it has answered.
    pub(crate) fn quit(&mut self) -> Result<()> {
        self.send("quit", &json!({}))?;
        while self.read().is_ok() {}
        Ok(())
    }

    /// Waits for the end of a migration, outgoing or incoming.
    pub(crate) fn wait_migrated(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let info = self.execute("query-migrate", &json!({}))?;
            match info["status"].as_str() {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => {
                    bail!("QEMU could not carry over the machine's state: {info}")
                }
                _ if Instant::now() > deadline => {
                    bail!("QEMU takes too long to carry over the machine's state: {info}")
                }
                _ => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn send(&mut self, command: &str, arguments: &Value) -> Result<()> {
        let command_line = json!({ "execute": command, "arguments": arguments });
        // One write: QEMU obeys as soon as it has read the last brace, and has gone before the rest of a line that asks it to quit.
        self.reader
            .get_mut()
            .write_all(format!("{command_line}\n").as_bytes())
            .with_context(|| format!("QEMU command {command}"))
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            bail!("QEMU has gone");
        }
        Ok(serde_json::from_str(&line)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emulator_that_quits_need_not_answer() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut qmp = Qmp {
            reader: BufReader::new(ours),
        };
        let emulator = thread::spawn(move || {
            let mut line = String::new();
            BufReader::new(theirs).read_line(&mut line).unwrap();
            line
        });
        qmp.quit().unwrap();
        assert!(emulator.join().unwrap().contains("\"quit\""));
        // Any other command needs its answer.
        assert!(qmp.execute("stop", &json!({})).is_err());
    }
}
