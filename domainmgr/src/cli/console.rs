//! `domainmgr console`

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;

use clap::Args;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcsetattr};

use super::named::Named;
use crate::toolstack::libxl;

/// Ctrl-]
const ESCAPE: u8 = 0x1d;

#[derive(Debug, Args)]
pub(super) struct Console {
    #[command(flatten)]
    domain: Named,
}

impl Console {
    pub(super) fn run(&self) -> Result<(), String> {
        let id = self.domain.find()?;
        let toolstack = libxl::open().map_err(|e| e.to_string())?;
        let tty = toolstack
            .session()
            .and_then(|mut s| s.console(id))
            .map_err(|e| format!("{}: no console: {e}", self.domain.name))?;
        let fail = |e: io::Error| format!("{}: {e}", tty.display());
        let pty = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(i32::try_from(OFlags::NOCTTY.bits()).unwrap_or_default())
            .open(&tty)
            .map_err(fail)?;
        eprintln!("connected to domain {id}; Ctrl-] leaves");
        let raw_stdin = Raw::new(io::stdin()).map_err(fail)?;
        // The output of the guest must arrive unchanged.
        let raw_pty = Raw::new(pty.try_clone().map_err(fail)?).map_err(fail)?;
        let end = relay(&mut io::stdin().lock(), &mut io::stdout().lock(), &pty).map_err(fail);
        drop(raw_pty);
        drop(raw_stdin);
        eprintln!();
        end.map(|end| {
            if end == End::Hangup {
                eprintln!("the domain is gone");
            }
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The user has typed the escape character.
    Escape,
    /// There is no more input.
    Eof,
    /// The other side is gone.
    Hangup,
}

/// Copies both ways until one side ends.
fn relay(input: &mut (impl Read + AsFd), output: &mut impl Write, pty: &File) -> io::Result<End> {
    let mut buffer = [0; 4096];
    let mut pty = pty;
    loop {
        let (from_user, from_guest) = {
            let mut fds = [
                PollFd::new(input, PollFlags::IN),
                PollFd::from_borrowed_fd(pty.as_fd(), PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            (fds[0].revents(), fds[1].revents())
        };
        if !from_guest.is_empty() {
            match pty.read(&mut buffer) {
                Ok(0) => return Ok(End::Hangup),
                Ok(n) => {
                    output.write_all(&buffer[..n])?;
                    output.flush()?;
                }
                // A pty returns EIO on either side when the other side is gone.
                Err(e) if e.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                    return Ok(End::Hangup);
                }
                Err(e) => return Err(e),
            }
        }
        if !from_user.is_empty() {
            let n = input.read(&mut buffer)?;
            if n == 0 {
                return Ok(End::Eof);
            }
            if let Some(at) = buffer[..n].iter().position(|b| *b == ESCAPE) {
                pty.write_all(&buffer[..at])?;
                return Ok(End::Escape);
            }
            pty.write_all(&buffer[..n])?;
        }
    }
}

/// Checks that both sides of a console receive exactly the bytes that the other has sent, up to the escape character.
#[cfg(fuzzing)]
pub fn fuzz(from_user: &[u8], from_guest: &[u8]) {
    use std::net::Shutdown;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    let socket = |bytes: &[u8]| {
        let (ours, mut theirs) = UnixStream::pair().expect("sockets");
        theirs.write_all(bytes).expect("room");
        (ours, theirs)
    };
    let (mut input, user) = socket(from_user);
    user.shutdown(Shutdown::Write).expect("a socket");
    let (pty, mut guest) = socket(from_guest);
    let pty = File::from(OwnedFd::from(pty));
    let mut shown = Vec::new();
    let end = relay(&mut input, &mut shown, &pty).expect("nothing fails");
    drop(pty);
    let mut heard = Vec::new();
    // Input that `relay` has not read makes the other end return an error here.
    let _ = guest.read_to_end(&mut heard);
    let typed = from_user.split(|byte| *byte == ESCAPE).next();
    assert_eq!(Some(heard.as_slice()), typed);
    assert!(from_guest.starts_with(&shown));
    assert_eq!(end == End::Escape, from_user.contains(&ESCAPE));
}

/// A terminal in raw mode, until it is dropped.
struct Raw<T: AsFd> {
    terminal: T,
    before: Option<Termios>,
}

impl<T: AsFd> Raw<T> {
    fn new(terminal: T) -> io::Result<Self> {
        let before = if isatty(&terminal) {
            let before = tcgetattr(&terminal)?;
            let mut raw = before.clone();
            raw.make_raw();
            tcsetattr(&terminal, OptionalActions::Now, &raw)?;
            Some(before)
        } else {
            None
        };
        Ok(Self { terminal, before })
    }
}

impl<T: AsFd> Drop for Raw<T> {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // Nothing can be done if the terminal refuses.
            let _ = tcsetattr(&self.terminal, OptionalActions::Now, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::thread;

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    use super::*;

    /// The guest's side and the tty that xenstore would name.
    fn pty() -> (File, File) {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        (File::from(master), slave)
    }

    #[test]
    fn both_ways_until_the_escape() {
        let (mut guest, tty) = pty();
        let _raw = Raw::new(tty.try_clone().unwrap()).unwrap();
        let (mut user, mut input) = UnixStream::pair().unwrap();
        let relaying = thread::spawn(move || {
            let mut output = Vec::new();
            let end = relay(&mut input, &mut output, &tty).unwrap();
            (end, output)
        });
        guest.write_all(b"login: \n").unwrap();
        user.write_all(b"root\x1dnever").unwrap();
        let mut typed = [0; 4];
        guest.read_exact(&mut typed).unwrap();
        assert_eq!(&typed, b"root");
        let (end, output) = relaying.join().unwrap();
        assert_eq!(end, End::Escape);
        assert!(output.is_empty() || output == b"login: \n");
    }

    #[test]
    fn a_guest_that_is_gone_ends_it() {
        let (guest, tty) = pty();
        let (_user, mut input) = UnixStream::pair().unwrap();
        drop(guest);
        assert_eq!(
            relay(&mut input, &mut Vec::new(), &tty).unwrap(),
            End::Hangup
        );
    }
}
