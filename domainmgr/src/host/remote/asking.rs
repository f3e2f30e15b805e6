//! Questions to the agent of the other host.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::connection::{Connection, WORDS, failed};
use super::destination::{Destination, Receiver};
use super::question::Question;
use crate::toolstack::{Limits, Peer};

/// Answer of a host to which the domain may come.
pub const READY: &str = "ready";
/// Length of the longest answer to a question.
const ANSWER: usize = 64 << 10;
/// Time that an order takes until its question is asked, at most, as far as words to people are concerned.
const BEFORE: Duration = Duration::from_millis(100);

impl Connection {
    /// Asks the receiver at the other end whether the domain may come. It then receives the domain by the same connection. xl is
    /// not asked.
    ///
    /// # Errors
    /// It may not, or the host cannot be reached.
    pub fn may_come(
        &self,
        to: &Destination,
        peer: &Peer,
        question: &Question,
        limits: &Limits,
    ) -> Result<(), String> {
        if to.receiver == Receiver::Xl {
            return Ok(());
        }
        let text = serde_json::to_string(question).map_err(|e| format!("{}: {e}", to.host))?;
        let ready = format!("{READY}\n");
        let writer = peer.writer.try_clone().map_err(|e| failed(to, &e))?;
        // The pipe has room for it. One that does not read has ended, and what it has said is the reason.
        let _ = File::from(writer).write_all(format!("{text}\n").as_bytes());
        let answer = self.answer(to, &peer.reader, limits, |heard| heard == ready.as_bytes())?;
        if answer == ready {
            return Ok(());
        }
        let refusals = answer.trim();
        let strange = |c: char| c.is_control() && c != '\n';
        if refusals.len() > WORDS || refusals.contains(strange) {
            return Err(format!("{}: no agent answers there", to.host));
        }
        Err(format!("{}: {}", to.host, refusals.replace('\n', "; ")))
    }

    /// Reads an answer until it is `whole`, or to its end.
    fn answer(
        &self,
        to: &Destination,
        reader: &OwnedFd,
        limits: &Limits,
        whole: impl Fn(&[u8]) -> bool,
    ) -> Result<String, String> {
        let begun = Instant::now();
        let heard = hear(reader, limits, begun, whole).map_err(|e| failed(to, &e))?;
        let Some(heard) = heard else {
            // The time that is allowed began with the order, a little earlier.
            let waited = begun.elapsed() + BEFORE;
            let silent = format!("no answer in {} s", waited.as_secs());
            return Err(self.explain(&silent));
        };
        let answer = String::from_utf8_lossy(&heard).into_owned();
        if answer.trim().is_empty() {
            return Err(self.explain("no answer"));
        }
        Ok(answer)
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
    let (connection, reader, _) = Connection::run(to, &command)?;
    let answer = connection.answer(to, &reader, limits, |_| false)?;
    Ok(answer.trim().to_owned())
}

/// Reads until what was heard is `whole`, or ends, or is too long for an answer, and no byte more. Returns `None` if the limits
/// end first.
fn hear(
    from: &OwnedFd,
    limits: &Limits,
    begun: Instant,
    whole: impl Fn(&[u8]) -> bool,
) -> io::Result<Option<Vec<u8>>> {
    let (aborted, bell) = UnixStream::pair()?;
    limits.abort.on_abort(move || drop(bell));
    let mut heard = Vec::new();
    while !whole(&heard) && heard.len() <= ANSWER {
        let rest = limits
            .deadline
            .map(|most| most.saturating_sub(begun.elapsed()));
        if rest.is_some_and(|rest| rest.is_zero()) {
            return Ok(None);
        }
        let rest = rest.and_then(|rest| Timespec::try_from(rest).ok());
        let mut fds =
            [from.as_fd(), aborted.as_fd()].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        match poll(&mut fds, rest.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        let [is_there, is_aborted] = fds.map(|fd| !fd.revents().is_empty());
        if is_aborted {
            return Ok(None);
        }
        let mut byte = [0];
        match is_there.then(|| rustix::io::read(from, &mut byte)) {
            None | Some(Err(Errno::INTR)) => {}
            // The connection to one that has not read everything is reset in the end.
            Some(Ok(0) | Err(_)) => break,
            Some(Ok(_)) => heard.extend(byte),
        }
    }
    Ok(Some(heard))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::super::destination::tests::to;
    use super::*;

    fn within(time: Duration) -> Limits {
        Limits {
            deadline: Some(time),
            ..Limits::default()
        }
    }

    fn question() -> Question {
        Question {
            xen: "4.17.0".to_owned(),
            storage: Vec::new(),
            cpu: Vec::new(),
        }
    }

    fn asked(via: &str) -> Result<OwnedFd, String> {
        let to = to(via);
        let (connection, reader, writer) = Connection::open(&to)?;
        let limits = within(Duration::from_secs(60));
        let peer = Peer { reader, writer };
        connection.may_come(&to, &peer, &question(), &limits)?;
        Ok(peer.reader)
    }

    #[test]
    fn what_follows_the_answer_is_left_for_the_migration() {
        let reader = asked("f() { read q; echo ready; echo \"banner after $q\"; }; f").unwrap();
        let mut rest = String::new();
        File::from(reader).read_to_string(&mut rest).unwrap();
        let told = serde_json::to_string(&question()).unwrap();
        assert_eq!(rest, format!("banner after {told}\n"));
    }

    #[test]
    fn reasons_and_nonsense_are_told_apart() {
        let refused = |via: &str| asked(via).unwrap_err();
        let reasons = "f() { read q; echo no such disk; echo an older Xen; }; f";
        assert_eq!(refused(reasons), "beta: no such disk; an older Xen");
        for nonsense in [
            "f() { exec cat /dev/zero; }; f",
            "f() { printf 'a\\tb'; }; f",
        ] {
            assert_eq!(refused(nonsense), "beta: no agent answers there");
        }
        let dumb = "f() { echo 1 >&2; echo no route >&2; exit 1; }; f";
        assert_eq!(refused(dumb), "beta: no answer: 1; no route");
        let said = ask(&to(dumb), &Limits::default()).unwrap_err();
        assert_eq!(said, "beta: no answer: 1; no route");
    }

    #[test]
    fn one_that_does_not_answer_is_given_up() {
        let limits = within(Duration::from_millis(300));
        let drips = "f() { while printf x; do sleep 0.1; done; }; f";
        for hangs in ["f() { echo is it on >&2; exec sleep 100; }; f", drips] {
            let begin = Instant::now();
            let said = ask(&to(hangs), &limits).unwrap_err();
            assert!(said.starts_with("beta: no answer in 0 s"), "{said}");
            assert!(begin.elapsed() < Duration::from_secs(15));
        }
    }

    #[test]
    fn an_abort_ends_the_wait() {
        let to = to("f() { exec sleep 100; }; f");
        let limits = Limits::default();
        let abort = limits.abort.clone();
        let begin = Instant::now();
        std::thread::scope(|scope| {
            let asks = scope.spawn(|| ask(&to, &limits));
            abort.abort();
            let said = asks.join().unwrap().unwrap_err();
            assert!(said.starts_with("beta: no answer in 0 s"), "{said}");
        });
        assert!(begin.elapsed() < Duration::from_secs(15));
    }
}
