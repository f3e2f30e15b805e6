//! The verbs that change nothing: they show a domain, wait for a state, or follow changes and history.

use std::io::Write;
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::json;

use super::client::{Socket, complain, described, exit, in_words};
use super::complete;
use super::output::{printable, say};
use crate::core::State;
use crate::frontends::control::client::ClientError;
use crate::frontends::control::wire::{Changed, Domain, Event, Events, Since};

#[derive(Debug, Args)]
pub(super) struct Show {
    /// A domain's name, its DisplayName, its uuid or its number.
    #[arg(add = complete::domains())]
    name: String,
    #[command(flatten)]
    socket: Socket,
}

#[derive(Debug, Args)]
pub(super) struct Metrics {
    #[command(flatten)]
    socket: Socket,
}

#[derive(Debug, Args)]
pub(super) struct Wait {
    /// A domain's name, its DisplayName, its uuid or its number.
    #[arg(add = complete::domains())]
    name: String,
    /// The state, as `status` shows it; GONE: nothing is left of it.
    #[arg(value_name = "STATE", ignore_case = true, value_parser = states())]
    state: String,
    /// Give up after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    #[command(flatten)]
    socket: Socket,
}

#[derive(Debug, Args)]
pub(super) struct Watch {
    /// Only this one.
    #[arg(add = complete::domains())]
    name: Option<String>,
    #[command(flatten)]
    socket: Socket,
}

#[derive(Debug, Args)]
pub(super) struct History {
    /// Only of this one; a uuid also if nothing is left of the domain.
    #[arg(add = complete::domains())]
    name: Option<String>,
    /// Show only what came after the event with this number.
    #[arg(long, value_name = "NUMBER")]
    after: Option<i64>,
    /// Go on, and show each event when it comes.
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    socket: Socket,
}

/// Pause before an agent that has ended is looked for again.
const AGAIN: Duration = Duration::from_millis(200);

/// The least time that the agent has to say what the state is.
const FIRST: Duration = Duration::from_secs(5);

/// Returns whether the agent has ended: the `met` one, which may be followed by another.
fn has_ended(e: &ClientError, met: &mut bool) -> bool {
    match e {
        ClientError::Lost => {
            *met = true;
            true
        }
        ClientError::NoAgent(..) => *met,
        _ => false,
    }
}

/// Passes changes to `take` until it returns false. If the agent ends meanwhile, the next one is waited for, which begins with the
/// present.
fn follow(
    socket: &Socket,
    name: Option<&str>,
    mut take: impl FnMut(Changed) -> bool,
) -> Result<(), ClientError> {
    let mut met = false;
    // The next agent is asked for the same domain, whatever has the name or the number then.
    let mut uuid = None;
    loop {
        let told = socket.connect().and_then(|client| {
            let name = uuid.clone().or_else(|| name.map(str::to_owned));
            client.watch(name.as_deref(), |change| {
                met = true;
                if let (Some(_), Some(domain)) = (&name, &change.domain) {
                    uuid = Some(domain.uuid.clone());
                }
                take(change)
            })
        });
        match told {
            Err(e) if has_ended(&e, &mut met) => thread::sleep(AGAIN),
            told => return told,
        }
    }
}

/// The states that can be waited for.
fn states() -> PossibleValuesParser {
    let all = State::ALL.into_iter().map(State::word);
    PossibleValuesParser::new(all.chain(["GONE"]))
}

impl Show {
    pub(super) fn run(&self) -> ExitCode {
        let shown = self.socket.connect().and_then(|c| c.show(&self.name));
        match shown {
            Err(e) => exit(complain(&self.name, &e, self.socket.json)),
            Ok(shown) if self.socket.json => {
                drop(say(&format!("{}\n", json!(shown))));
                ExitCode::SUCCESS
            }
            Ok(shown) => {
                drop(say(&table(&shown.status)));
                ExitCode::SUCCESS
            }
        }
    }
}

impl Metrics {
    pub(super) fn run(&self) -> ExitCode {
        let text = self.socket.connect().and_then(|c| c.metrics());
        match text {
            Err(e) => exit(complain("metrics", &e, self.socket.json)),
            Ok(text) if self.socket.json => {
                drop(say(&format!("{}\n", json!({ "text": text }))));
                ExitCode::SUCCESS
            }
            Ok(text) => {
                drop(say(&text));
                ExitCode::SUCCESS
            }
        }
    }
}

/// Every field that says something, one per line.
fn table(status: &serde_json::Value) -> String {
    let mut text = String::new();
    for (field, value) in status.as_object().into_iter().flatten() {
        let said = match value {
            serde_json::Value::String(said) => said.clone(),
            other => other.to_string(),
        };
        let nothing = ["", "[]", "0001-01-01T00:00:00Z"].contains(&said.as_str());
        if !nothing {
            text.push_str(&format!("{field:<24} {}\n", printable(&said)));
        }
    }
    text
}

impl Wait {
    pub(super) fn run(&self) -> ExitCode {
        let wanted = self.state.to_uppercase();
        let begin = Instant::now();
        let (tx, changes) = mpsc::channel();
        let (socket, name) = (self.socket.clone(), self.name.clone());
        // It ends with the program.
        thread::spawn(move || {
            let tell = |change| tx.send(Ok(change)).is_ok();
            if let Err(e) = follow(&socket, Some(&name), tell) {
                let _ = tx.send(Err(e));
            }
        });
        let mut last = None;
        loop {
            let next = match self.timeout.map(Duration::from_secs) {
                None => changes.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(all) => {
                    // With no time at all, the present state counts.
                    let all = if last.is_none() { all.max(FIRST) } else { all };
                    changes.recv_timeout(all.saturating_sub(begin.elapsed()))
                }
            };
            match next {
                Ok(Ok(Changed {
                    domain: Some(domain),
                    ..
                })) => {
                    if domain.state == wanted {
                        return self.there(&wanted, Some(&domain));
                    }
                    last = Some(domain.state);
                }
                Ok(Ok(Changed { gone: Some(_), .. })) if wanted == "GONE" => {
                    return self.there(&wanted, None);
                }
                Ok(Ok(Changed { gone: Some(_), .. })) => {
                    return exit(complain(
                        &self.name,
                        &ClientError::NoSuchDomain,
                        self.socket.json,
                    ));
                }
                Ok(Ok(_)) => {}
                // Nothing is left of what the agent does not know.
                Ok(Err(ClientError::NoSuchDomain)) if wanted == "GONE" => {
                    return self.there(&wanted, None);
                }
                Ok(Err(e)) => return exit(complain(&self.name, &e, self.socket.json)),
                Err(RecvTimeoutError::Disconnected) => {
                    return exit(complain(&self.name, &ClientError::Lost, self.socket.json));
                }
                Err(RecvTimeoutError::Timeout) => {
                    return self.timed_out(last.as_deref());
                }
            }
        }
    }

    fn timed_out(&self, last: Option<&str>) -> ExitCode {
        let why = match last {
            Some(last) => format!("timed out: it is {last}"),
            None => "timed out: the agent does not answer".to_owned(),
        };
        if self.socket.json {
            let line = json!({"name": self.name, "error": why, "exit": 5});
            drop(say(&format!("{line}\n")));
        } else {
            eprintln!("domainmgr: {}: {why}", printable(&self.name));
        }
        exit(5)
    }

    fn there(&self, state: &str, domain: Option<&Domain>) -> ExitCode {
        let line = if self.socket.json {
            json!({"name": self.name, "state": state, "domain": domain}).to_string()
        } else {
            match domain {
                Some(domain) => format!("{}: {}", self.name, in_words(domain)),
                None => format!("{}: gone", self.name),
            }
        };
        drop(say(&format!("{line}\n")));
        ExitCode::SUCCESS
    }
}

impl Watch {
    pub(super) fn run(&self) -> ExitCode {
        let tell = |change: Changed| {
            let line = if self.socket.json {
                json!(change).to_string()
            } else {
                changed(&change)
            };
            is_read(&format!("{line}\n"))
        };
        match follow(&self.socket, self.name.as_deref(), tell) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => exit(complain(
                self.name.as_deref().unwrap_or_default(),
                &e,
                self.socket.json,
            )),
        }
    }
}

impl History {
    /// If the agent ends meanwhile, the next one is waited for: no event is missed, and none is shown twice.
    pub(super) fn run(&self) -> ExitCode {
        let mut after = self.after;
        let mut met = false;
        loop {
            let since = Since {
                name: self.name.clone(),
                after,
                follow: self.follow.then_some(true),
            };
            let mut enough = false;
            let told = self.socket.connect().and_then(|client| {
                client.events(since, |page| {
                    met = true;
                    enough = !self.tell(&page, after.is_some());
                    after = page.events.last().map(|event| event.seq).or(after);
                    !enough
                })
            });
            match told {
                Ok(()) if enough || !self.follow => return ExitCode::SUCCESS,
                Ok(()) => {}
                Err(e) if self.follow && has_ended(&e, &mut met) => {}
                Err(e) => {
                    let name = self.name.as_deref().unwrap_or_default();
                    return exit(complain(name, &e, self.socket.json));
                }
            }
            thread::sleep(AGAIN);
        }
    }

    /// Prints events. Returns whether anybody still reads them.
    fn tell(&self, page: &Events, goes_on: bool) -> bool {
        let mut text = String::new();
        if page.gap && goes_on && !self.socket.json {
            eprintln!("domainmgr: some events are not kept any more");
        }
        for event in &page.events {
            text.push_str(&if self.socket.json {
                json!(event).to_string()
            } else {
                line(event)
            });
            text.push('\n');
        }
        is_read(&text)
    }
}

/// A domain has no name as long as its DomainConfig cannot be used.
fn name_or<'a>(name: &'a str, uuid: &'a str) -> &'a str {
    if name.is_empty() { uuid } else { name }
}

fn line(event: &Event) -> String {
    let name = name_or(&event.name, &event.uuid);
    let domid = event.domid.map(|domid| format!("  domain {domid}"));
    // To the second is enough for people.
    let at = event.at.get(..19).unwrap_or(&event.at);
    let text = format!(
        "{at}  {name}  {}{}  {}",
        event.what,
        domid.unwrap_or_default(),
        event.detail
    );
    printable(text.trim_end())
}

fn changed(change: &Changed) -> String {
    match change {
        Changed {
            domain: Some(domain),
            ..
        } => {
            let name = name_or(&domain.name, &domain.uuid);
            format!("{name}: {}", described(domain))
        }
        Changed {
            gone: Some(uuid), ..
        } => format!("{uuid}: gone"),
        Changed { missed, .. } => format!(
            "{} changes were missed: too many at once",
            missed.unwrap_or_default()
        ),
    }
}

/// Prints to standard output. Returns false when its reader has read enough, which is the end and no error.
fn is_read(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .is_ok()
}
