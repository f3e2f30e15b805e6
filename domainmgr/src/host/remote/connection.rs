//! A running command whose standard input and output are a connection to another host.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use super::destination::Destination;

/// Number of bytes of the command's messages that are kept, the last ones.
pub(super) const WORDS: usize = 4096;
/// Time that the command gets to end by itself once the connection is of no use any more.
const GRACE: Duration = Duration::from_secs(5);
/// Time for `ssh` to reach the host, in seconds.
const REACH: u32 = 30;
/// Size of the pipe to the command, in bytes.
const PIPE: usize = 1 << 20;
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
        Self::run(to, &to.receive())
    }

    /// Runs a command on the other host. Returns the descriptors to read from and to write to.
    pub(super) fn run(to: &Destination, command: &str) -> Result<(Self, OwnedFd, OwnedFd), String> {
        // The pages of the guest are moved into a pipe, and would be copied into a socket.
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed(to, &e.into()));
        let ((input, writer), (reader, output)) = (pipe()?, pipe()?);
        // Only a matter of speed; the limit for all pipes may be reached.
        let _ = fcntl_setpipe_size(&writer, PIPE);
        let connection = Self::start(to, command, input, output)?;
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

pub(super) fn failed(to: &Destination, why: &io::Error) -> String {
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

    use super::super::destination::tests::to;
    use super::*;

    #[test]
    fn the_command_is_given_the_host_and_the_words_and_has_both_directions() {
        let to = to("f() { read line; echo \"$1: $2: $line\"; }; f");
        let (_connection, reader, writer) = Connection::open(&to).unwrap();
        std::fs::File::from(writer).write_all(b"hello\n").unwrap();
        let mut heard = String::new();
        std::fs::File::from(reader)
            .read_to_string(&mut heard)
            .unwrap();
        let command =
            "domainmgr migrate-receive --check --token 00000000-0000-0000-0000-000000000000";
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
    }

    #[test]
    fn a_command_that_hangs_ends_with_the_connection() {
        let begin = std::time::Instant::now();
        let (connection, ..) = Connection::open(&to("f() { exec sleep 100; }; f")).unwrap();
        drop(connection);
        assert!(begin.elapsed() < GRACE * 3);
    }
}
