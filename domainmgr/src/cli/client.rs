//! Common parts of the clients of the control socket: where it is, and how errors and domains are shown.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::output::{printable, say};
use super::paths;
use crate::frontends::control::client::{Client, ClientError};
use crate::frontends::control::wire::Domain;

/// Options of every client of the control socket.
#[derive(Clone, Debug, Args)]
pub(super) struct Socket {
    /// The agent's control socket [default: /var/run/domainmgr/control.sock]
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// That of `run --simulate` without directories given.
    #[arg(long, conflicts_with = "control")]
    simulate: bool,
    /// Print replies as JSON, one per line.
    #[arg(long)]
    pub(super) json: bool,
}

impl Socket {
    pub(super) fn connect(&self) -> Result<Client, ClientError> {
        let path = paths::control(self.control.as_deref(), self.simulate);
        Client::connect(&path.map_err(ClientError::Other)?)
    }
}

impl Socket {
    /// Connects to the socket, for messages that are no calls.
    pub(super) fn open(&self) -> Result<UnixStream, ClientError> {
        let path = paths::control(self.control.as_deref(), self.simulate);
        let path = path.map_err(ClientError::Other)?;
        UnixStream::connect(&path).map_err(|e| ClientError::NoAgent(path, e.to_string()))
    }
}

/// The exit code for an error, as in the manual.
fn code(e: &ClientError) -> u8 {
    match e {
        ClientError::NoSuchDomain => 3,
        ClientError::NoAgent(..) | ClientError::Lost => 4,
        _ => 1,
    }
}

/// Reports an error about `name`, and returns the exit code for it.
pub(super) fn complain(name: &str, e: &ClientError, json: bool) -> u8 {
    let about =
        if matches!(e, ClientError::NoAgent(..) | ClientError::NotAllowed(_)) || name.is_empty() {
            e.to_string()
        } else {
            format!("{name}: {e}")
        };
    if json {
        let line = json!({"name": name, "error": e.to_string(), "exit": code(e)});
        drop(say(&format!("{line}\n")));
    } else {
        eprintln!("domainmgr: {}", printable(&about));
    }
    code(e)
}

pub(super) fn exit(code: u8) -> ExitCode {
    ExitCode::from(code)
}

/// The state of a domain, and its number.
pub(super) fn in_words(domain: &Domain) -> String {
    match domain.domid {
        Some(domid) => format!("{}, domain {domid}", domain.state),
        None => domain.state.clone(),
    }
}

/// The state of a domain, and why it is so. Names that others gave cannot drive the terminal.
pub(super) fn described(domain: &Domain) -> String {
    let why = [domain.error.as_str(), domain.reason.as_str()];
    let why: Vec<&str> = why.into_iter().filter(|w| !w.is_empty()).collect();
    let text = format!("{}  {}", in_words(domain), why.join("; "));
    printable(text.trim_end())
}
