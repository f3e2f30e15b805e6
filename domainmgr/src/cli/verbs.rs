//! The verbs that change something: each is an order to the agent, whose progress is shown.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use clap::Args;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;

use super::client::{Socket, complain, described, exit, in_words};
use super::complete;
use super::output::{printable, say};
use crate::frontends::control::client::ClientError;
use crate::frontends::control::wire::{self, Ordered};

#[derive(Debug, Args)]
pub(super) struct Verb {
    /// A domain's name, its DisplayName, its uuid or its number.
    #[arg(required = true, value_name = "NAME", add = complete::domains())]
    names: Vec<String>,
    #[command(flatten)]
    how: How,
}

/// How an order is given.
#[derive(Debug, Args)]
pub(super) struct How {
    /// Return as soon as the order is accepted.
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    pub(super) socket: Socket,
}

#[derive(Debug, Args)]
pub(super) struct Start {
    #[command(flatten)]
    verb: Verb,
    /// Also a domain that somebody else took away, so that it may live on elsewhere. Make sure that it does not.
    #[arg(long)]
    anyway: bool,
    /// Have a domain that is saved boot, and remove what was saved: its guest finds its disks as after a power cut.
    #[arg(long)]
    fresh: bool,
    /// Only until this host is started again: then they stay down, unless their files ask for them to run. For a cluster manager,
    /// which decides anew where they run.
    #[arg(long)]
    until_reboot: bool,
}

#[derive(Debug, Args)]
pub(super) struct Stop {
    #[command(flatten)]
    verb: Verb,
    /// Without asking the guest: as if its power was cut.
    #[arg(long)]
    destroy: bool,
}

impl Start {
    pub(super) fn run(&self) -> ExitCode {
        self.verb.run("Start", |name| wire::Start {
            name: name.to_owned(),
            anyway: self.anyway.then_some(true),
            fresh: self.fresh.then_some(true),
            boot: self.until_reboot.then_some(true),
        })
    }
}

impl Stop {
    pub(super) fn run(&self) -> ExitCode {
        self.verb.run("Stop", |name| wire::Stop {
            name: name.to_owned(),
            destroy: self.destroy.then_some(true),
            boot: None,
        })
    }
}

impl Verb {
    /// All of them at once. The exit code is that of the failures, if they have one in common.
    pub(super) fn run<A: Serialize>(
        &self,
        method: &str,
        arguments: impl Fn(&str) -> A + Sync,
    ) -> ExitCode {
        self.how.order(&self.names, method, arguments)
    }
}

impl How {
    /// Orders this for each domain, for all of them at once.
    pub(super) fn order<A: Serialize>(
        &self,
        names: &[String],
        method: &str,
        arguments: impl Fn(&str) -> A + Sync,
    ) -> ExitCode {
        self.order_at_once(names.len(), names, method, arguments)
    }

    /// Orders this for each domain, in this order, for so many of them at once.
    pub(super) fn order_at_once<A: Serialize>(
        &self,
        most: usize,
        names: &[String],
        method: &str,
        arguments: impl Fn(&str) -> A + Sync,
    ) -> ExitCode {
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
        let next = AtomicUsize::new(0);
        let some = || {
            let mut codes = Vec::new();
            while let Some(name) = names.get(next.fetch_add(1, Ordering::SeqCst)) {
                codes.push(one(name));
            }
            codes
        };
        let some = &some;
        let mut codes: Vec<u8> = thread::scope(|scope| {
            let threads = 0..most.min(names.len());
            let all: Vec<_> = threads.map(|_| scope.spawn(some)).collect();
            let joined = all.into_iter();
            let joined = joined.flat_map(|thread| thread.join().unwrap_or_else(|_| vec![1]));
            joined.filter(|code| *code != 0).collect()
        });
        codes.dedup();
        match codes.as_slice() {
            [] => ExitCode::SUCCESS,
            [only] => exit(*only),
            [..] => exit(1),
        }
    }

    /// Returns the exit code if one of several names stands for no domain.
    pub(super) fn missing(&self, names: &[String]) -> Option<ExitCode> {
        let client = self.socket.connect().ok().filter(|_| names.len() > 1)?;
        let lost = |name: &&String| matches!(client.show(name), Err(ClientError::NoSuchDomain));
        let name = names.iter().find(lost)?;
        let code = complain(name, &ClientError::NoSuchDomain, self.socket.json);
        if !self.socket.json {
            eprintln!("domainmgr: if it is a file, write ./{}", printable(name));
        }
        Some(exit(code))
    }

    fn tell(&self, name: &str, reply: &Ordered) {
        // A file stands for the domain in it.
        let of_file = name
            .contains('/')
            .then(|| format!("{name}: {}", reply.domain.name));
        let name = of_file.as_deref().unwrap_or(name);
        let line = if self.socket.json {
            json!({"name": name, "domain": reply.domain, "done": reply.done, "job": reply.job})
                .to_string()
        } else if reply.done {
            let words = std::iter::once(in_words(&reply.domain));
            let waiting = reply.domain.waiting.iter().map(|words| printable(words));
            let all: Vec<String> = words.chain(waiting).collect();
            format!("{name}: {}", all.join("; "))
        } else {
            format!(
                "{name}: accepted as job {}; {}",
                reply.job,
                in_words(&reply.domain)
            )
        };
        drop(say(&format!("{line}\n")));
    }
}

/// Shows progress on standard error: a line per domain on a terminal, elsewhere each change once.
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
        let percent = reply
            .percent
            .map(|n| format!("  {n} %"))
            .unwrap_or_default();
        let text = format!("{}: {}{percent}", self.name, described(&reply.domain));
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None if self.quiet => {}
            None => eprintln!("{text}"),
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
