//! A running command whose standard input and output are a connection to another host.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use super::destination::Destination;
use super::question::Question;
use crate::toolstack::Limits;

/// Number of bytes of the command's messages that are kept, the last ones.
const WORDS: usize = 4096;
/// Time that the command gets to end by itself once the connection is of no use any more.
const GRACE: Duration = Duration::from_secs(5);
/// Time for `ssh` to reach the host, in seconds.
const REACH: u32 = 30;
/// Length of the longest answer to a question.
const ANSWER: usize = 64 << 10;
/// Size of the pipe to the command, in bytes.
const PIPE: usize = 256 << 10;
/// The shortest time limit of a socket.
const TICK: Duration = Duration::from_millis(1);
/// Answer of a host to which the domain may come.
pub const READY: &str = "ready";
/// Stack of the thread that reads the command's messages, in bytes.
const STACK: usize = 64 << 10;

/// Returns the program that runs `command` on the other host.
fn program(to: &Destination, command: &str) -> Command {
    let mut program = match &to.via {
        None => {
            let mut ssh = Command::new("ssh");
            // No escape characters, and no questions: nobody is there to answer.
            ssh.args(["-e", "none", "-o", "BatchMode=yes", "-o"]);
            ssh.arg(format!("ConnectTimeout={REACH}"));
            // A host that is gone is noticed within a minute.
            ssh.args([
                "-o",
                "ServerAliveInterval=15",
                "-o",
                "ServerAliveCountMax=4",
                "--",
            ]);
            ssh
        }
        Some(via) => {
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", &format!("{via} \"$@\""), "sh"]);
            shell
        }
    };
    program.arg(&to.host).arg(command);
    program
}

/// The end of a command, and what it has said.
#[derive(Debug, Default)]
struct State {
    words: Vec<u8>,
    silent: bool,
}

/// A command that connects this host to another one. It is ended when this is dropped.
#[derive(Debug)]
pub struct Connection {
    host: String,
    child: Child,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Connection {
    /// Starts the program that receives domains on the other host. Returns the descriptors to read from and to write to.
    ///
    /// # Errors
    /// The command cannot be started.
    pub fn open(to: &Destination) -> Result<(Self, OwnedFd, OwnedFd), String> {
        // The pages of the guest are moved into a pipe, and would be copied into a socket.
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed(to, &e.into()));
        let ((input, writer), (reader, output)) = (pipe()?, pipe()?);
        // Only a matter of speed; the limit for all pipes may be reached.
        let _ = fcntl_setpipe_size(&writer, PIPE);
        let connection = Self::start(to, &to.receive(), input, output)?;
        Ok((connection, reader, writer))
    }

    fn start(
        to: &Destination,
        command: &str,
        input: OwnedFd,
        output: OwnedFd,
    ) -> Result<Self, String> {
        let mut child = program(to, command)
            .stdin(Stdio::from(input))
            .stdout(Stdio::from(output))
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| failed(to, &e))?;
        let state = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let errors = child.stderr.take();
        let connection = Self {
            host: to.host.clone(),
            child,
            state: Arc::clone(&state),
        };
        thread::Builder::new()
            .name("remote".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                if let Some(errors) = errors {
                    listen(errors, &state);
                }
                locked(&state.0).silent = true;
                state.1.notify_all();
            })
            .map_err(|e| failed(to, &e))?;
        Ok(connection)
    }

    /// Waits a moment for the end of the command, and returns its last words, for people. Empty if it has said nothing.
    #[must_use]
    pub fn last_words(&self) -> String {
        let state = locked(&self.state.0);
        let talks = |state: &mut State| !state.silent;
        let waited = self.state.1.wait_timeout_while(state, GRACE, talks);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&state.words).into_owned();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let words: Vec<&str> = lines.collect();
        // The host's banner, and other talk, come first.
        let last = words.len().saturating_sub(3);
        words[last..].join("; ")
    }

    /// Adds the last words of the command to the reason for which the connection is of no use.
    #[must_use]
    pub fn explain(&self, why: &str) -> String {
        let (host, words) = (&self.host, self.last_words());
        if words.is_empty() {
            format!("{host}: {why}")
        } else {
            format!("{host}: {why}: {words}")
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let state = locked(&self.state.0);
        let talks = |state: &mut State| !state.silent;
        drop(self.state.1.wait_timeout_while(state, GRACE, talks));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(mut errors: impl Read, state: &(Mutex<State>, Condvar)) {
    let mut buffer = [0; 512];
    loop {
        match errors.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => {
                let words = &mut locked(&state.0).words;
                words.extend_from_slice(&buffer[..read]);
                let old = words.len().saturating_sub(WORDS);
                words.drain(..old);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Asks the agent of the other host what became of a migration. Returns its answer.
///
/// # Errors
/// The host cannot be reached, or its agent does not know.
pub fn ask(to: &Destination, limits: &Limits) -> Result<String, String> {
    let Some(command) = to.ask() else {
        return Err(format!(
            "{}: xl cannot be asked what became of a domain",
            to.host
        ));
    };
    let answer = call(to, &command, "", limits)?;
    Ok(answer.trim().to_owned())
}

/// Asks the agent of the other host whether the domain may come. xl is not asked.
///
/// # Errors
/// It may not, or the host cannot be reached.
pub fn may_come(to: &Destination, question: &Question, limits: &Limits) -> Result<(), String> {
    let Some(command) = to.check() else {
        return Ok(());
    };
    let text = serde_json::to_string(question).map_err(|e| format!("{}: {e}", to.host))?;
    let answer = call(to, command, &format!("{text}\n"), limits)?;
    let strange = |c: char| c.is_control() && c != '\n';
    match answer.trim() {
        READY => Ok(()),
        nonsense if nonsense.len() > WORDS || nonsense.contains(strange) => {
            Err(format!("{}: what answers there is no agent", to.host))
        }
        refusals => Err(format!("{}: {}", to.host, refusals.replace('\n', "; "))),
    }
}

/// Runs a command on the other host with this input, and returns what it prints.
fn call(to: &Destination, command: &str, input: &str, limits: &Limits) -> Result<String, String> {
    let (ours, theirs) = UnixStream::pair().map_err(|e| failed(to, &e))?;
    let output = theirs.try_clone().map_err(|e| failed(to, &e))?;
    let connection = Connection::start(to, command, theirs.into(), output.into())?;
    let ending = ours.try_clone().map_err(|e| failed(to, &e))?;
    limits.abort.on_abort(move || {
        let _ = ending.shutdown(Shutdown::Both);
    });
    let begun = Instant::now();
    // A socket takes no zero for a time limit.
    let rest = |most: Duration| most.saturating_sub(begun.elapsed()).max(TICK);
    let set = ours.set_write_timeout(limits.deadline.map(rest));
    set.map_err(|e| failed(to, &e))?;
    // One that does not read has ended, and what it has said is the reason.
    let _ = (&ours).write_all(input.as_bytes());
    let _ = ours.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    let is_whole = loop {
        let _ = ours.set_read_timeout(limits.deadline.map(rest));
        match (&ours).read(&mut buffer) {
            Ok(0) => break true,
            Ok(read) if answer.len() + read > ANSWER => break true,
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break false,
            // The connection to one that has not read everything is reset in the end.
            Err(_) => break true,
        }
        if limits.deadline.is_some_and(|most| begun.elapsed() >= most) {
            break false;
        }
    };
    if !is_whole {
        let _ = ours.shutdown(Shutdown::Both);
        let silent = format!("no answer in {} s", begun.elapsed().as_secs());
        return Err(connection.explain(&silent));
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    if answer.trim().is_empty() {
        return Err(connection.explain("no answer"));
    }
    Ok(answer)
}

fn failed(to: &Destination, why: &io::Error) -> String {
    let program = match to.via {
        Some(_) => "/bin/sh",
        None => "ssh",
    };
    format!("{}: {program}: {why}", to.host)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use uuid::Uuid;

    use super::super::destination::Receiver;
    use super::*;

    fn to(via: &str) -> Destination {
        Destination {
            host: "beta".to_owned(),
            via: Some(via.to_owned()),
            receiver: Receiver::Agent,
            token: Uuid::nil(),
            timeout: None,
            suspended_first: false,
            until_boot: false,
        }
    }

    #[test]
    fn the_command_is_given_the_host_and_the_words_and_has_both_directions() {
        let to = to("f() { read line; echo \"$1: $2: $line\"; }; f");
        let (_connection, reader, writer) = Connection::open(&to).unwrap();
        std::fs::File::from(writer).write_all(b"hello\n").unwrap();
        let mut heard = String::new();
        std::fs::File::from(reader)
            .read_to_string(&mut heard)
            .unwrap();
        let command = "domainmgr migrate-receive --token 00000000-0000-0000-0000-000000000000";
        assert_eq!(heard, format!("beta: {command}: hello\n"));
    }

    #[test]
    fn its_last_words_say_why_it_failed() {
        let to = to("f() { echo 1 >&2; echo no route >&2; exit 1; }; f");
        let (connection, ..) = Connection::open(&to).unwrap();
        assert_eq!(
            connection.explain("it has ended"),
            "beta: it has ended: 1; no route"
        );
        let said = ask(&to, &Limits::default()).unwrap_err();
        assert_eq!(said, "beta: no answer: 1; no route");
    }

    #[test]
    fn one_that_does_not_answer_is_given_up() {
        let limits = Limits {
            deadline: Some(Duration::from_millis(300)),
            ..Limits::default()
        };
        let drips = "f() { while printf x; do sleep 0.1; done; }; f";
        for hangs in ["f() { echo is it on >&2; exec sleep 100; }; f", drips] {
            let begin = Instant::now();
            let said = ask(&to(hangs), &limits).unwrap_err();
            assert!(said.starts_with("beta: no answer in 0 s"), "{said}");
            assert!(begin.elapsed() < GRACE * 3);
        }
    }

    #[test]
    fn a_command_that_hangs_ends_with_the_connection() {
        let begin = std::time::Instant::now();
        let (connection, ..) = Connection::open(&to("f() { exec sleep 100; }; f")).unwrap();
        drop(connection);
        assert!(begin.elapsed() < GRACE * 3);
    }
}
