//! `domainmgr host-stop` and `host-start`: all guests, when the host goes down and when it comes back.
//!
//! Each order is remembered by the agent, so that whatever becomes of this program, what was begun is ended, and what was kept
//! down comes back with the host.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use crossbeam_channel::{Receiver, Sender, unbounded};

use super::client::{Socket, complain, exit, in_words};
use super::complete;
use super::host_order::{Steps, is_called, label, starts, stops};
use super::output::say;
use crate::frontends::control::client::{Client, ClientError};
use crate::frontends::control::wire::{self, Domain};
use crate::spec::with_host::OnHostStop;

/// As many domains are dealt with at once. The agent serves more clients than these.
const AT_ONCE: usize = 16;
/// Time for destroying the domains that are left.
const LAST: Duration = Duration::from_secs(30);
/// Pause before an agent that has ended is looked for again.
const AGAIN: Duration = Duration::from_secs(1);
/// The settings of xendomains.
const XENDOMAINS: &str = "/etc/default/xendomains";

/// Treatment of the domains that are left when the time is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Rest {
    /// Destroy them.
    #[default]
    Destroy,
    /// Leave them to whatever brings the host down.
    Leave,
}

#[derive(Debug, Args)]
pub(super) struct HostStop {
    /// Save the domains instead of shutting them down; one that cannot be saved is shut down. What the file of a domain says
    /// about that goes before this [default: as XENDOMAINS_SAVE says]
    #[arg(long, overrides_with = "no_save")]
    save: bool,
    /// Shut them down.
    #[arg(long)]
    no_save: bool,
    /// How long all of it may take [default: XENDOMAINS_STOP_MAXWAIT, or 300]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Treatment of those that are left then.
    #[arg(long, value_enum, default_value_t)]
    then: Rest,
    /// These come last, each when those before it are down: what others need, such as a router. Goes before what files say.
    /// Repeatable.
    #[arg(long, value_name = "NAME", add = complete::domains())]
    last: Vec<String>,
    /// The settings of xendomains, as far as they concern this [default: /etc/default/xendomains]
    #[arg(long, value_name = "FILE")]
    defaults: Option<PathBuf>,
    #[command(flatten)]
    socket: Socket,
}

#[derive(Debug, Args)]
pub(super) struct HostStart {
    #[command(flatten)]
    socket: Socket,
}

/// The settings of xendomains, as far as they concern this.
#[derive(Debug, Default, PartialEq, Eq)]
struct Defaults {
    save: bool,
    timeout: Option<u64>,
}

impl Defaults {
    /// Reads lines of a shell that assign plain values. A file that is not there says nothing.
    fn read(file: Option<&PathBuf>) -> Result<Self, String> {
        let path = file.map_or(XENDOMAINS.as_ref(), PathBuf::as_path);
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map_err(|e| format!("{}: {e}", path.display())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && file.is_none() => {
                Ok(Self::default())
            }
            Err(e) => Err(format!("{}: {e}", path.display())),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut found: BTreeMap<&str, (usize, String)> = BTreeMap::new();
        for (i, line) in text.lines().enumerate() {
            let Some((name, value)) = line.trim().split_once('=') else {
                continue;
            };
            if !name.starts_with("XENDOMAINS_") {
                continue;
            }
            let words = shlex::split(value);
            let words = words.ok_or_else(|| format!("line {}: a quote is not closed", i + 1))?;
            let value = words.into_iter().next().unwrap_or_default();
            found.insert(name, (i + 1, value));
        }
        let timeout = match found.get("XENDOMAINS_STOP_MAXWAIT") {
            Some((line, text)) if !text.is_empty() => Some(text.parse().map_err(|_| {
                format!("line {line}: XENDOMAINS_STOP_MAXWAIT: expected seconds, found {text:?}")
            })?),
            _ => None,
        };
        let save = found.get("XENDOMAINS_SAVE");
        Ok(Self {
            save: save.is_some_and(|(_, directory)| !directory.is_empty()),
            timeout: timeout.filter(|seconds| *seconds > 0),
        })
    }
}

/// The end of one order.
struct Told {
    name: String,
    result: Result<Domain, ClientError>,
}

impl HostStop {
    pub(super) fn run(&self) -> ExitCode {
        let defaults = match Defaults::read(self.defaults.as_ref()) {
            Ok(defaults) => defaults,
            Err(e) => {
                eprintln!("domainmgr: {e}");
                return exit(1);
            }
        };
        let save = self.save || (defaults.save && !self.no_save);
        let seconds = self.timeout.or(defaults.timeout).unwrap_or(300);
        let end = Instant::now() + Duration::from_secs(seconds);
        let listed = self.socket.connect().and_then(|client| client.list());
        let all = match listed {
            Ok(all) => all,
            Err(e) => return exit(complain("", &e, self.socket.json)),
        };
        for name in &self.last {
            if !all.iter().any(|domain| is_called(domain, name)) {
                eprintln!("domainmgr: --last {name}: no such domain");
            }
        }
        let Steps { steps, circles } = stops(all, &self.last);
        for circle in circles {
            let names = circle.join(", ");
            eprintln!("domainmgr: these need each other, and stop side by side: {names}");
        }
        let mut failed = false;
        for step in steps {
            failed |= !self.stop_all(step, save, end);
        }
        exit(u8::from(failed))
    }

    /// Brings these down, side by side. Whether all of them are.
    fn stop_all(&self, domains: Vec<Domain>, save: bool, end: Instant) -> bool {
        let mut open: BTreeMap<String, Domain> = BTreeMap::new();
        for domain in domains {
            if !stays_down(&domain) {
                open.insert(domain.uuid.clone(), domain);
            }
        }
        let all: Vec<Domain> = open.values().cloned().collect();
        let told = self.each(&all, end, move |client, domain| {
            bring_down(client, domain, save)
        });
        let mut well = self.hear(&told, &mut open, end);
        if open.is_empty() {
            return well;
        }
        let left: Vec<Domain> = open.values().cloned().collect();
        for domain in &left {
            let what = match self.then {
                Rest::Destroy => "destroying it",
                Rest::Leave => "leaving it",
            };
            eprintln!("domainmgr: {}: not down in time; {what}", label(domain));
        }
        if self.then == Rest::Leave {
            return false;
        }
        let end = Instant::now() + LAST;
        let told = self.each(&left, end, |client, domain| stop(client, domain, true));
        well &= self.hear(&told, &mut open, end);
        for domain in open.values() {
            eprintln!(
                "domainmgr: {}: could not be destroyed in time",
                label(domain)
            );
        }
        well && open.is_empty()
    }

    /// Does something to each domain, some of them at once. Nobody waits for a thread that hangs. If the agent ends, the next one is
    /// waited for until `end`.
    fn each(
        &self,
        domains: &[Domain],
        end: Instant,
        act: impl Fn(&Client, &Domain) -> Result<Domain, ClientError> + Clone + Send + 'static,
    ) -> Receiver<(String, Told)> {
        let (tell, told) = unbounded();
        let next = Arc::new(AtomicUsize::new(0));
        for _ in 0..AT_ONCE.min(domains.len()) {
            let (tell, next, act) = (Sender::clone(&tell), Arc::clone(&next), act.clone());
            let (domains, socket) = (domains.to_vec(), self.socket.clone());
            thread::spawn(move || {
                while let Some(domain) = domains.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut result = socket.connect().and_then(|client| act(&client, domain));
                    while let Err(ClientError::NoAgent(..) | ClientError::Lost) = result {
                        if Instant::now() + AGAIN >= end {
                            break;
                        }
                        thread::sleep(AGAIN);
                        result = socket
                            .connect()
                            .and_then(|client| act_again(&client, domain, &act));
                    }
                    let name = label(domain).to_owned();
                    if tell
                        .send((domain.uuid.clone(), Told { name, result }))
                        .is_err()
                    {
                        return;
                    }
                }
            });
        }
        told
    }

    /// Takes those from `open` that are dealt with. Whether all went well that ended.
    fn hear(
        &self,
        told: &Receiver<(String, Told)>,
        open: &mut BTreeMap<String, Domain>,
        end: Instant,
    ) -> bool {
        let mut well = true;
        while !open.is_empty() {
            let Ok((uuid, told)) = told.recv_deadline(end) else {
                break;
            };
            let asked = open.remove(&uuid);
            let is_down = asked.is_some_and(|domain| domain.domid.is_none());
            match told.result {
                Ok(domain) => tell(&told.name, &domain, self.socket.json),
                // Its file has been removed meanwhile.
                Err(ClientError::NoSuchDomain) => {}
                // There is nothing to bring down, such as where a file cannot be used.
                Err(ClientError::Refused(why) | ClientError::Failed(why)) if is_down => {
                    eprintln!("domainmgr: {}: it is down: {why}", told.name);
                }
                Err(e) => {
                    complain(&told.name, &e, self.socket.json);
                    well = false;
                }
            }
        }
        well
    }
}

impl HostStart {
    pub(super) fn run(&self) -> ExitCode {
        let listed = self.socket.connect().and_then(|client| client.list());
        let all = match listed {
            Ok(all) => all,
            Err(e) => return exit(complain("", &e, self.socket.json)),
        };
        let mut code = 0;
        let held = |domain: &Domain| domain.hold.as_ref().is_some_and(|hold| hold.boot);
        // The agent keeps the order among those that it knows are to start.
        for domain in starts(all.into_iter().filter(held).collect()) {
            let start = wire::Start {
                name: domain.uuid.clone(),
                anyway: None,
                fresh: None,
                boot: None,
            };
            // All of them first: they are built side by side.
            let done = self.socket.connect();
            match done.and_then(|client| client.order("Start", start, false, |_| ())) {
                Ok(reply) if self.socket.json => tell(label(&domain), &reply.domain, true),
                Ok(_) => drop(say(&format!("{}: starts\n", label(&domain)))),
                Err(e) => code = code.max(complain(label(&domain), &e, self.socket.json)),
            }
        }
        exit(code)
    }
}

fn tell(name: &str, domain: &Domain, json: bool) {
    let line = if json {
        serde_json::json!({"name": name, "domain": domain}).to_string()
    } else {
        format!("{name}: {}", in_words(domain))
    };
    drop(say(&format!("{line}\n")));
}

/// Returns whether the domain is down, and stays so until the host is back or for longer: it needs no word.
fn stays_down(domain: &Domain) -> bool {
    let down = ["HALTED", "SAVED", "INSTALLED"].contains(&domain.state.as_str());
    down && domain.hold.as_ref().is_some_and(|hold| !hold.run)
}

/// Does what was begun with an agent that has ended, unless it is done.
fn act_again(
    client: &Client,
    domain: &Domain,
    act: impl Fn(&Client, &Domain) -> Result<Domain, ClientError>,
) -> Result<Domain, ClientError> {
    let now = client.show(&domain.uuid)?.domain;
    if stays_down(&now) {
        return Ok(now);
    }
    act(client, &now)
}

fn bring_down(client: &Client, domain: &Domain, save: bool) -> Result<Domain, ClientError> {
    let save = match OnHostStop::parse(&domain.on_host_stop) {
        Ok(Some(own)) => own == OnHostStop::Save,
        _ => save,
    };
    if save && domain.domid.is_some() {
        let arguments = wire::Save {
            name: domain.uuid.clone(),
            boot: Some(true),
            file: None,
        };
        match client.order("Save", arguments, true, |_| ()) {
            Ok(reply) => return Ok(reply.domain),
            Err(ClientError::Refused(why) | ClientError::Failed(why)) => {
                eprintln!(
                    "domainmgr: {}: cannot be saved, shutting it down: {why}",
                    label(domain)
                );
            }
            Err(e) => return Err(e),
        }
    }
    stop(client, domain, false)
}

fn stop(client: &Client, domain: &Domain, destroy: bool) -> Result<Domain, ClientError> {
    let arguments = wire::Stop {
        name: domain.uuid.clone(),
        destroy: destroy.then_some(true),
        boot: Some(true),
    };
    let reply = client.order("Stop", arguments, true, |_| ())?;
    Ok(reply.domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_xendomains_are_read_as_a_shell_reads_them() {
        let text = "# comment\nXENDOMAINS_SAVE=/var/lib/xen/save # why\nXENDOMAINS_STOP_MAXWAIT=\"120\"\nOTHER=1\n";
        let found = Defaults::parse(text).unwrap();
        assert_eq!(
            found,
            Defaults {
                save: true,
                timeout: Some(120)
            }
        );
        let none = Defaults::parse("XENDOMAINS_SAVE=\"\"\nXENDOMAINS_STOP_MAXWAIT=''\n").unwrap();
        assert_eq!(none, Defaults::default());
        let wrong = Defaults::parse("\nXENDOMAINS_STOP_MAXWAIT=soon").unwrap_err();
        assert!(
            wrong.starts_with("line 2: XENDOMAINS_STOP_MAXWAIT: "),
            "{wrong}"
        );
        let open = Defaults::parse("XENDOMAINS_SAVE=\"/x").unwrap_err();
        assert!(open.starts_with("line 1: "), "{open}");
    }
}
