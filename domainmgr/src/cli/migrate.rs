//! `domainmgr migrate`, `evacuate` and `migrate-receive`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

use super::client::{Socket, complain, exit};
use super::complete;
use super::output::say;
use super::verbs::How;
use crate::frontends::control::client::{ClientError, named};
use crate::frontends::control::wire::{self, Complaint, Migrate as Parameters};
use crate::frontends::control::{NAME, passed};
use crate::host::remote::READY;

/// Length of the longest question that is read.
const QUESTION: usize = 1 << 20;

#[derive(Debug, Args)]
pub(super) struct Migrate {
    /// A domain's name, its DisplayName, its uuid or its number.
    #[arg(value_name = "NAME", add = complete::domains())]
    name: String,
    /// The other host, as `ssh` knows it.
    #[arg(
        value_name = "[USER@]HOST",
        required_unless_present = "resolve",
        conflicts_with = "resolve"
    )]
    host: Option<String>,
    /// A command of the shell that is run in the place of `ssh`, with the host and the command to run there as its last two
    /// arguments.
    #[arg(long, value_name = "CMD", conflicts_with = "resolve")]
    via: Option<String>,
    /// Have xl receive the domain there. Nobody can ask xl later what became of it.
    #[arg(long, conflicts_with = "resolve")]
    to_xl: bool,
    /// Suspend the guest before anything of it is sent: it stands still for longer, but is sent only once.
    #[arg(long, conflicts_with = "resolve")]
    not_live: bool,
    /// Seconds after which the migration is given up, and the guest goes on here. Once the guest is given away, this has no effect
    /// any more.
    #[arg(long, value_name = "S", conflicts_with = "resolve", value_parser = clap::value_parser!(u32).range(1..))]
    timeout: Option<u32>,
    /// Ask the other host now what became of a domain that was given away to it, and do what follows: it goes on here if it does
    /// not run there. The agent asks by itself as well, from time to time.
    #[arg(long)]
    resolve: bool,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(super) struct Evacuate {
    /// The other host, as `ssh` knows it.
    #[arg(value_name = "[USER@]HOST")]
    host: String,
    /// Number of guests that move at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    max: u8,
    /// A command of the shell that is run in the place of `ssh`, as with migrate
    #[arg(long, value_name = "CMD")]
    via: Option<String>,
    /// Suspend each guest before anything of it is sent, as with migrate
    #[arg(long)]
    not_live: bool,
    /// Seconds for each guest, as with migrate
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..))]
    timeout: Option<u32>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(super) struct Receive {
    /// Number of the migration, by which its outcome can be asked for later.
    #[arg(long, value_name = "UUID")]
    token: Option<Uuid>,
    /// Have the domain run only until this host is started again, as it did at its source.
    #[arg(long, conflicts_with = "outcome")]
    until_reboot: bool,
    /// Print what became of a migration, instead: runs, never, or pending. One that is not decided is ended.
    #[arg(long, value_name = "UUID", conflicts_with = "token")]
    outcome: Option<Uuid>,
    /// Read what the domain needs from the first line of the standard input, and print `ready` or the reasons why it may not come.
    /// The domain is then received if it may come, and --token is given.
    #[arg(long, conflicts_with = "outcome")]
    check: bool,
    #[command(flatten)]
    socket: Socket,
}

impl Migrate {
    pub(super) fn run(&self) -> ExitCode {
        let names = [self.name.clone()];
        let Some(host) = &self.host else {
            return self.how.order(&names, "Resolve", named);
        };
        self.how.order(&names, "Migrate", |name| Parameters {
            name: name.to_owned(),
            host: host.clone(),
            via: self.via.clone(),
            xl: self.to_xl.then_some(true),
            live: self.not_live.then_some(false),
            timeout: self.timeout,
        })
    }
}

impl Evacuate {
    pub(super) fn run(&self) -> ExitCode {
        let all = match self.how.socket.connect().and_then(|client| client.list()) {
            Ok(all) => all,
            Err(e) => return exit(complain("", &e, self.how.socket.json)),
        };
        let there = all.into_iter().filter(|domain| domain.domid.is_some());
        let (mut moves, stays): (Vec<_>, Vec<_>) =
            there.partition(|domain| domain.state == "RUNNING");
        // The biggest first: the host that they go to has the most room then.
        moves.sort_by_key(|domain| std::cmp::Reverse(domain.memory));
        let names: Vec<String> = moves.into_iter().map(|domain| domain.name).collect();
        let moved = self
            .how
            .order_at_once(self.max.into(), &names, "Migrate", |name| Parameters {
                name: name.to_owned(),
                host: self.host.clone(),
                via: self.via.clone(),
                xl: None,
                live: self.not_live.then_some(false),
                timeout: self.timeout,
            });
        for domain in &stays {
            let why = format!("{} guests do not move", domain.state);
            complain(
                &domain.name,
                &ClientError::Refused(why),
                self.how.socket.json,
            );
        }
        if stays.is_empty() { moved } else { exit(1) }
    }
}

impl Receive {
    pub(super) fn run(&self) -> ExitCode {
        if let Some(token) = self.outcome {
            return self.print_outcome(token);
        }
        if self.check {
            if let Err(code) = self.print_refusals() {
                return code;
            }
            if self.token.is_none() {
                return ExitCode::SUCCESS;
            }
        }
        let token = self.token.unwrap_or_else(Uuid::new_v4);
        match self.receive(token) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => exit(complain("", &e, false)),
        }
    }

    fn print_outcome(&self, token: Uuid) -> ExitCode {
        let asked = self.socket.connect();
        match asked.and_then(|client| client.outcome(&token.to_string())) {
            Ok(outcome) => {
                drop(say(&format!("{outcome}\n")));
                ExitCode::SUCCESS
            }
            Err(e) => exit(complain("", &e, false)),
        }
    }

    /// Answers the question whether a domain may come. Fails if it may not.
    fn print_refusals(&self) -> Result<(), ExitCode> {
        let line = question().map_err(|e| ClientError::Other(format!("the question: {e}")));
        let asked = line.and_then(|line| {
            let question = serde_json::from_slice(&line);
            let question =
                question.map_err(|e| ClientError::Other(format!("the question: {e}")))?;
            self.socket.connect()?.refusals(question)
        });
        match asked.as_deref() {
            Ok([]) => {
                drop(say(&format!("{READY}\n")));
                Ok(())
            }
            Ok(refusals) => {
                drop(say(&format!("{}\n", refusals.join("\n"))));
                Err(ExitCode::FAILURE)
            }
            Err(e) => Err(exit(complain("", e, false))),
        }
    }

    /// Gives the standard input and output to the agent, and waits until the domain runs or is refused.
    fn receive(&self, token: Uuid) -> Result<(), ClientError> {
        // First, so that an agent that does not know the method is told from one that refuses the domain.
        let client = self.socket.connect()?;
        let mut agent = upgraded(self.socket.open()?, token, self.until_reboot)?;
        let (input, output) = (io::stdin(), io::stdout());
        passed::send(&agent, [input.as_fd(), output.as_fd()]).map_err(lost)?;
        // The agent says no more, and hangs up when it has come to an end.
        let _ = agent.read(&mut [0]);
        client.received(&token.to_string())
    }
}

/// Reads the first line of the standard input, and no byte more: what follows is for the agent.
fn question() -> io::Result<Vec<u8>> {
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (mut line, mut byte) = (Vec::new(), [0]);
    while input.read(&mut byte)? == 1 && byte != *b"\n" {
        line.extend(byte);
        if line.len() > QUESTION {
            let text = format!("longer than {QUESTION} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
    }
    Ok(line)
}

/// Makes the connection one that descriptors are passed by.
fn upgraded(
    mut stream: UnixStream,
    token: Uuid,
    until_reboot: bool,
) -> Result<UnixStream, ClientError> {
    let receive = wire::Receive {
        token: token.to_string(),
        boot: until_reboot.then_some(true),
        descriptors: Some(true),
    };
    let call = json!({
        "method": format!("{NAME}.Receive"),
        "parameters": receive,
        "upgrade": true,
    });
    stream
        .write_all(format!("{call}\0").as_bytes())
        .map_err(lost)?;
    let mut reply = Vec::new();
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte).map_err(lost)?;
        if byte[0] == 0 {
            break;
        }
        reply.extend_from_slice(&byte);
    }
    let reply: Value = serde_json::from_slice(&reply)
        .map_err(|e| ClientError::Other(format!("the agent: {e}")))?;
    let Some(error) = reply.get("error").and_then(Value::as_str) else {
        return Ok(stream);
    };
    let what = reply.get("parameters").cloned().unwrap_or_default();
    let what: Complaint = serde_json::from_value(what).unwrap_or_default();
    Err(match what.reason {
        Some(reason) => ClientError::Refused(reason),
        None => ClientError::Other(error.to_owned()),
    })
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn lost(_: io::Error) -> ClientError {
    ClientError::Lost
}
