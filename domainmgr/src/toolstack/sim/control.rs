//! An outsider who interferes with the simulated domains, as an operator does with `xl`.
//!
//! Each connection to the socket beside the state file sends one line, and gets one line back.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use super::engine::Shared;
use super::model::Model;
use super::saved;
use crate::spec::ShutdownReason;
use crate::toolstack::domain::DomainId;
use crate::toolstack::error::{Error, ErrorKind, Result};

fn socket(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".sock");
    name.into()
}

/// Answers outsiders until the process ends.
pub(super) fn serve(shared: Arc<Shared>, file: &Path) -> io::Result<()> {
    let path = socket(file);
    crate::base::store::remove(&path)?;
    let listener = UnixListener::bind(&path)?;
    thread::Builder::new()
        .name("sim-control".into())
        .stack_size(256 << 10)
        .spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Err(e) = answer(&shared, &stream) {
                    log::debug!("outsider: {e}");
                }
            }
        })?;
    Ok(())
}

fn answer(shared: &Arc<Shared>, mut stream: &UnixStream) -> io::Result<()> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let answer = match shared.act(|m| act(m, line.trim())) {
        Ok(answer) => format!("ok {answer}\n"),
        Err(e) => format!("error {e}\n"),
    };
    stream.write_all(answer.as_bytes())
}

/// Sends an outsider's command to the agent that runs the simulation in `file`, or, if none does, changes the file itself.
///
/// # Errors
/// The simulated Xen answered with an error, or the file cannot be used.
pub fn send(file: &Path, speed: u32, line: &str) -> Result<String> {
    let other = |e: io::Error| Error::new(ErrorKind::Other, format!("{}: {e}", file.display()));
    match UnixStream::connect(socket(file)) {
        Err(_) => saved::offline(file, speed, |m| act(m, line)),
        Ok(mut stream) => {
            stream
                .write_all(format!("{line}\n").as_bytes())
                .map_err(other)?;
            let mut answer = String::new();
            BufReader::new(stream)
                .read_line(&mut answer)
                .map_err(other)?;
            match answer
                .trim_end()
                .split_once(' ')
                .unwrap_or((answer.trim_end(), ""))
            {
                ("ok", text) => Ok(text.to_owned()),
                (_, text) => Err(Error::new(ErrorKind::Other, text)),
            }
        }
    }
}

/// Runs one command: a word such as `list`, or a verb and a domain's domid or name.
fn act(m: &mut Model, line: &str) -> Result<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    if let Some(answer) = act_on_host(m, &words)? {
        return Ok(answer);
    }
    let [verb, target, rest @ ..] = words.as_slice() else {
        return Err(bad(format!("not understood: {line:?}")));
    };
    if *verb == "create" {
        let uuid = target.parse().map_err(|e| bad(format!("{target}: {e}")))?;
        let name = rest.first().copied().unwrap_or("outsider");
        return Ok(m.outsider(uuid, name, None).to_string());
    }
    let id = find(m, target)?;
    act_on_domain(m, verb, id, rest)
}

/// Runs a command about the host or about all domains. Returns `None` if it is not one of them.
fn act_on_host(m: &mut Model, words: &[&str]) -> Result<Option<String>> {
    let answer = match words {
        ["list"] => list(m),
        ["doubles"] => m.doubles().to_string(),
        ["reboot-host"] => {
            m.reboot();
            "rebooted".to_owned()
        }
        ["dom0-spare", mib] => {
            m.spare_mib = mib.parse().map_err(|e| bad(format!("{mib}: {e}")))?;
            (*mib).to_owned()
        }
        ["hang-list", how] => {
            m.list_hangs = *how == "on";
            (*how).to_owned()
        }
        ["dom0-qemu", how] => {
            m.no_dom0_qemu = *how == "off";
            (*how).to_owned()
        }
        ["pci"] => {
            m.pci_forget();
            m.pci_words()
        }
        ["plug", address, driver, interface @ ..] => {
            m.plug(address, driver, interface.first().copied())?;
            (*address).to_owned()
        }
        ["unplug", address] => {
            m.unplug(address);
            (*address).to_owned()
        }
        _ => return Ok(None),
    };
    Ok(Some(answer))
}

/// Runs a command about one domain.
fn act_on_domain(m: &mut Model, verb: &str, id: DomainId, rest: &[&str]) -> Result<String> {
    match verb {
        "receive" => return Ok(m.receive(id)?.to_string()),
        "hand-over" => {
            let receiver = find(m, rest.first().copied().unwrap_or_default())?;
            m.hand_over(id, receiver)?;
        }
        "live" => return m.live_words(id),
        "destroy" => m.kill(id)?,
        "kill-qemu" => m.orphan(id)?,
        "pause" => m.pause(id)?,
        "unpause" => m.unpause(id)?,
        "suspend" => m.shut_down(id, ShutdownReason::SUSPEND)?,
        "resume" => m.resume(id)?,
        "rename" => m.rename(id, rest.first().copied().unwrap_or("renamed"))?,
        "end" => {
            let reason = rest.first().and_then(|r| r.parse().ok()).unwrap_or(0);
            m.shut_down(id, ShutdownReason(reason))?;
        }
        _ => return Err(bad(format!("no such verb: {verb}"))),
    }
    Ok(id.to_string())
}

/// Returns all domains, as text.
fn list(m: &Model) -> String {
    let list: Vec<String> = m
        .list()
        .iter()
        .map(|s| {
            format!(
                "{} {} {} {:?}",
                s.id.domid,
                s.id.uuid,
                s.name.as_deref().unwrap_or("-"),
                s.life
            )
        })
        .collect();
    list.join("; ")
}

/// Finds a domain by its domid or name.
fn find(m: &Model, target: &str) -> Result<DomainId> {
    m.list()
        .iter()
        .find(|s| s.id.domid.to_string() == target || s.name.as_deref() == Some(target))
        .map(|s| s.id)
        .ok_or_else(|| bad(format!("no domain {target}")))
}

fn bad(text: String) -> Error {
    Error::new(ErrorKind::Other, text)
}
