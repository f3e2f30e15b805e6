//! A migration to this very host, driven by an outsider step by step, as `xl migrate … localhost` does it, with every
//! way to fail.

use super::harness::{Harness, KEY};
use crate::toolstack::{DomainId, Life, ShutdownReason};

/// A migration under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Migration {
    source: DomainId,
    receiver: DomainId,
    done: u32,
}

impl Migration {
    /// Builds the receiving end.
    pub(super) fn begin(h: &mut Harness) -> Option<Self> {
        let seen = h.theirs().filter(|s| s.life == Life::Running)?;
        let source = seen.id;
        let receiver = h.meanwhile(|xen| xen.receive(source)).ok()?;
        h.carries(&seen, receiver);
        Some(Self {
            source,
            receiver,
            done: 0,
        })
    }

    fn source_is_suspended(&self, h: &Harness) -> bool {
        let source = h.xen.info(self.source);
        source.is_some_and(|s| s.life == Life::Shutdown(ShutdownReason::SUSPEND))
    }

    /// Does the next step. Returns `None` if it was the last, or if it failed and everything was undone.
    pub(super) fn go_on(mut self, h: &mut Harness) -> Option<Self> {
        let (source, receiver) = (self.source, self.receiver);
        if self.done >= 1 && self.done < 5 && !self.source_is_suspended(h) {
            // Somebody has interfered, and the sender sees that it has nothing to send.
            self.undo(h);
            return None;
        }
        let done = self.done;
        let result = h.meanwhile(|xen| match done {
            0 => xen.shut_down(source, ShutdownReason::SUSPEND),
            1 => xen.hand_over(source, receiver),
            2 => xen.rename(source, "app.1--migratedaway"),
            3 => xen.rename(receiver, "app.1"),
            4 => Ok(()),
            _ => xen.kill(source),
        });
        if done < 5 && result.is_err() {
            self.undo(h);
            return None;
        }
        if done == 4 {
            h.superseded.insert(source);
            if h.meanwhile(|xen| xen.unpause(receiver)).is_err() {
                h.superseded.remove(&source);
                self.undo(h);
                return None;
            }
        }
        self.done += 1;
        (self.done < 6).then_some(self)
    }

    /// The receiver reports a failure. As long as the receiver has not been told to go on, the sender resumes the
    /// guest.
    pub(super) fn fail(self, h: &mut Harness) -> Option<Self> {
        if self.done >= 3 {
            return Some(self);
        }
        self.undo(h);
        None
    }

    /// The sender dies. The receiver does what it has been told; the rest remains as it is.
    pub(super) fn lose_sender(mut self, h: &mut Harness) {
        if self.done < 3 {
            drop(h.meanwhile(|xen| xen.kill(self.receiver)));
        }
        while (3..5).contains(&self.done) {
            match self.go_on(h) {
                Some(next) => self = next,
                None => return,
            }
        }
    }

    fn undo(self, h: &mut Harness) {
        if self.done >= 5 {
            return;
        }
        let (source, receiver) = (self.source, self.receiver);
        h.meanwhile(|xen| {
            drop(xen.kill(receiver));
            let name = xen.info(source).and_then(|s| s.name);
            if name.as_deref() == Some("app.1--migratedaway") {
                drop(xen.rename(source, "app.1"));
            }
            drop(xen.resume(source));
        });
    }
}

#[test]
fn it_comes_to_its_end_step_by_step() {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(true, crate::spec::Mode::Pv, "")));
    h.advance(1000);
    let mut migration = Migration::begin(&mut h);
    let mut steps = 0;
    while let Some(under_way) = migration {
        migration = under_way.go_on(&mut h);
        steps += 1;
    }
    h.half_minutes(1);
    assert_eq!((steps, h.domain().unwrap().domid), (6, 3));
    assert_eq!(h.xen.live(KEY), 1);
}
