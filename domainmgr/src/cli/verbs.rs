//! The verbs: what an operator asks of the agent through its control socket.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;

use super::paths;
use crate::control::client::{Client, ClientError, named};
use crate::control::wire::{Changed, Domain, Event, Events, Named, Ordered, Since};

/// Where the agent listens.
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
    json: bool,
}

impl Socket {
    fn connect(&self) -> Result<Client, ClientError> {
        let path = paths::control(self.control.as_deref(), self.simulate);
        Client::connect(&path.map_err(ClientError::Other)?)
    }
}

#[derive(Debug, Args)]
pub(super) struct Verb {
    /// A domain's name, its DisplayName, its uuid or its number.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Return as soon as the order is accepted.
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    socket: Socket,
}

#[derive(Debug, Args)]
pub(super) struct Start {
    #[command(flatten)]
    verb: Verb,
    /// Also a domain that somebody else took away, so that it may live on elsewhere. Make sure that it does not.
    #[arg(long)]
    anyway: bool,
}

#[derive(Debug, Args)]
pub(super) struct Stop {
    #[command(flatten)]
    verb: Verb,
    /// Without asking the guest: as if its power was cut.
    #[arg(long)]
    destroy: bool,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// A domain's name, its DisplayName, its uuid or its number.
    name: String,
    #[command(flatten)]
    socket: Socket,
}

#[derive(Debug, Args)]
pub(super) struct Wait {
    /// A domain's name, its DisplayName, its uuid or its number.
    name: String,
    /// RUNNING, HALTED, or another state as `status` shows it; GONE: nothing is left of it.
    #[arg(value_name = "STATE")]
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
    name: Option<String>,
    #[command(flatten)]
    socket: Socket,
}

#[derive(Debug, Args)]
pub(super) struct History {
    /// Only of this one; a uuid also if nothing is left of the domain.
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

/// What the exit code says: see the manual.
fn code(e: &ClientError) -> u8 {
    match e {
        ClientError::NoSuchDomain => 3,
        ClientError::NoAgent(..) => 4,
        _ => 1,
    }
}

fn complain(name: &str, e: &ClientError, json: bool) -> u8 {
    let about = if matches!(e, ClientError::NoAgent(..)) || name.is_empty() {
        e.to_string()
    } else {
        format!("{name}: {e}")
    };
    if json {
        let line = json!({"name": name, "error": e.to_string(), "exit": code(e)});
        drop(super::say(&format!("{line}\n")));
    } else {
        eprintln!("domainmgr: {about}");
    }
    code(e)
}

fn exit(code: u8) -> ExitCode {
    ExitCode::from(code)
}

impl Start {
    pub(super) fn run(&self) -> ExitCode {
        self.verb.run("Start", |name| Named {
            anyway: self.anyway.then_some(true),
            ..named(name)
        })
    }
}

impl Stop {
    pub(super) fn run(&self) -> ExitCode {
        self.verb.run("Stop", |name| Named {
            destroy: self.destroy.then_some(true),
            ..named(name)
        })
    }
}

impl Verb {
    /// All of them at once. The exit code is that of the failures, if they have one in common.
    pub(super) fn run(&self, method: &str, arguments: impl Fn(&str) -> Named + Sync) -> ExitCode {
        let screen = Screen::new(self.socket.json);
        let one = |name: &str| {
            let line = screen.line(name);
            let done = self.socket.connect().and_then(|client| {
                let take = |reply: &Ordered| line.show(reply);
                client.order(method, arguments(name), !self.no_wait, take)
            });
            line.end();
            match done {
                Ok(reply) => {
                    self.tell(name, &reply);
                    0
                }
                Err(e) => complain(name, &e, self.socket.json),
            }
        };
        let one = &one;
        let mut codes: Vec<u8> = thread::scope(|scope| {
            let all: Vec<_> = self
                .names
                .iter()
                .map(|name| scope.spawn(move || one(name)))
                .collect();
            let joined = all.into_iter().map(|thread| thread.join().unwrap_or(1));
            joined.filter(|code| *code != 0).collect()
        });
        codes.dedup();
        match codes.as_slice() {
            [] => ExitCode::SUCCESS,
            [only] => exit(*only),
            [..] => exit(1),
        }
    }

    fn tell(&self, name: &str, reply: &Ordered) {
        let line = if self.socket.json {
            json!({"name": name, "domain": reply.domain, "done": reply.done}).to_string()
        } else if reply.done {
            format!("{name}: {}", in_words(&reply.domain))
        } else {
            format!("{name}: accepted; {}", in_words(&reply.domain))
        };
        drop(super::say(&format!("{line}\n")));
    }
}

fn in_words(domain: &Domain) -> String {
    match domain.domid {
        Some(domid) => format!("{}, domain {domid}", domain.state),
        None => domain.state.clone(),
    }
}

/// What is shown meanwhile: a line per domain on a terminal, elsewhere each change once.
struct Screen {
    bars: Option<MultiProgress>,
    quiet: bool,
}

struct Line {
    name: String,
    bar: Option<ProgressBar>,
    quiet: bool,
}

impl Screen {
    fn new(json: bool) -> Self {
        let terminal = std::io::stderr().is_terminal() && !json;
        Self {
            bars: terminal.then(MultiProgress::new),
            quiet: json,
        }
    }

    fn line(&self, name: &str) -> Line {
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed:>4} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Line {
            name: name.to_owned(),
            bar,
            quiet: self.quiet,
        }
    }
}

impl Line {
    fn show(&self, reply: &Ordered) {
        if reply.done {
            return;
        }
        let domain = &reply.domain;
        let why = [domain.error.as_str(), domain.reason.as_str()];
        let why: Vec<&str> = why.into_iter().filter(|w| !w.is_empty()).collect();
        let text = format!("{}: {}  {}", self.name, in_words(domain), why.join("; "));
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None if self.quiet => {}
            None => eprintln!("{}", text.trim_end()),
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Show {
    pub(super) fn run(&self) -> ExitCode {
        let shown = self.socket.connect().and_then(|c| c.show(&self.name));
        match shown {
            Err(e) => exit(complain(&self.name, &e, self.socket.json)),
            Ok(shown) if self.socket.json => {
                drop(super::say(&format!("{}\n", json!(shown))));
                ExitCode::SUCCESS
            }
            Ok(shown) => {
                drop(super::say(&table(&shown.status)));
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
            let said: String = said
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect();
            text.push_str(&format!("{field:<24} {said}\n"));
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
            let client = socket.connect();
            let told = client.and_then(|client| {
                let tell = |change| tx.send(Ok(change)).is_ok();
                client.watch(Some(&name), tell)
            });
            if let Err(e) = told {
                let _ = tx.send(Err(e));
            }
        });
        let mut last = None;
        loop {
            let next = match self.timeout.map(Duration::from_secs) {
                None => changes.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(all) => changes.recv_timeout(all.saturating_sub(begin.elapsed())),
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
                    let last = last.as_deref().unwrap_or("unknown");
                    eprintln!("domainmgr: {}: timed out: it is {last}", self.name);
                    return exit(5);
                }
            }
        }
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
        drop(super::say(&format!("{line}\n")));
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
            // Whoever reads has read enough: that is no error, but the end.
            let mut out = std::io::stdout().lock();
            out.write_all(format!("{line}\n").as_bytes())
                .and_then(|()| out.flush())
                .is_ok()
        };
        let watched = self
            .socket
            .connect()
            .and_then(|client| client.watch(self.name.as_deref(), tell));
        match watched {
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
        let mut heard = false;
        loop {
            let since = Since {
                name: self.name.clone(),
                after,
                follow: self.follow.then_some(true),
            };
            let mut enough = false;
            let told = self.socket.connect().and_then(|client| {
                client.events(since, |page| {
                    heard = true;
                    enough = !self.tell(&page, after.is_some());
                    after = page.events.last().map(|event| event.seq).or(after);
                    !enough
                })
            });
            match told {
                Ok(()) if enough || !self.follow => return ExitCode::SUCCESS,
                Ok(()) | Err(ClientError::Lost) if self.follow => {}
                Err(ClientError::NoAgent(..)) if self.follow && heard => {}
                Ok(()) => return ExitCode::SUCCESS,
                Err(e) => {
                    let name = self.name.as_deref().unwrap_or_default();
                    return exit(complain(name, &e, self.socket.json));
                }
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Whether anybody reads on.
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
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .is_ok()
    }
}

fn line(event: &Event) -> String {
    let name = if event.name.is_empty() {
        &event.uuid
    } else {
        &event.name
    };
    let domid = event.domid.map(|domid| format!("  domain {domid}"));
    // To the second is enough for people.
    let at = event.at.get(..19).unwrap_or(&event.at);
    let text = format!(
        "{at}  {name}  {}{}  {}",
        event.what,
        domid.unwrap_or_default(),
        event.detail
    );
    let text = text.trim_end();
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn changed(change: &Changed) -> String {
    match change {
        Changed {
            domain: Some(domain),
            ..
        } => {
            let name = if domain.name.is_empty() {
                &domain.uuid
            } else {
                &domain.name
            };
            let why = [domain.error.as_str(), domain.reason.as_str()];
            let why: Vec<&str> = why.into_iter().filter(|w| !w.is_empty()).collect();
            let line = format!("{name}: {}  {}", in_words(domain), why.join("; "));
            line.trim_end().to_owned()
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
