//! How a worker is told to look again: flags that pile up into one wake-up. Sending never blocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};

/// What to look at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mail(u8);

impl Mail {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// The DomainConfig file.
    pub const CONFIG: Self = Self(1);
    /// The domain.
    pub const HINT: Self = Self(2);
    /// The settings.
    pub const SETTINGS: Self = Self(4);
    /// Nothing: end, and leave everything as it is.
    pub const STOP: Self = Self(8);
    /// Nothing: tell the log what is known.
    pub const DUMP: Self = Self(16);
    /// What was refused because others had it.
    pub const FREED: Self = Self(64);
    /// What was asked for by hand.
    pub const ORDER: Self = Self(128);
    /// Every domain with the key's uuid.
    pub const RESYNC: Self = Self(32);

    /// Whether all of `other` is in this.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The sending side. Clones send to the same worker.
#[derive(Clone, Debug)]
pub struct Mailbox {
    flags: Arc<AtomicU8>,
    wake: Sender<()>,
}

/// The receiving side.
#[derive(Debug)]
pub struct Inbox {
    flags: Arc<AtomicU8>,
    wake: Receiver<()>,
}

/// A mailbox and its inbox.
#[must_use]
pub fn mailbox() -> (Mailbox, Inbox) {
    let (tx, rx) = bounded(1);
    let flags = Arc::new(AtomicU8::new(0));
    let inbox = Inbox {
        flags: Arc::clone(&flags),
        wake: rx,
    };
    (Mailbox { flags, wake: tx }, inbox)
}

impl Mailbox {
    /// Tells the worker. Mail it has not read yet becomes one with this.
    pub fn post(&self, mail: Mail) {
        self.flags.fetch_or(mail.0, Ordering::SeqCst);
        // Full: it will be woken anyway. Disconnected: there is nobody to tell.
        let _ = self.wake.try_send(());
    }
}

impl Inbox {
    /// Takes all mail.
    pub fn take(&self) -> Mail {
        Mail(self.flags.swap(0, Ordering::SeqCst))
    }

    /// Looks at the mail without taking it.
    #[must_use]
    pub fn peek(&self) -> Mail {
        Mail(self.flags.load(Ordering::SeqCst))
    }

    /// Becomes ready when there may be mail.
    #[must_use]
    pub fn ready(&self) -> &Receiver<()> {
        &self.wake
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_piles_up_into_one_wake() {
        let (mailbox, inbox) = mailbox();
        for _ in 0..3 {
            mailbox.post(Mail::HINT);
        }
        mailbox.post(Mail::CONFIG);
        inbox.ready().try_recv().unwrap();
        assert!(inbox.ready().try_recv().is_err());
        assert_eq!(inbox.take(), Mail::HINT.and(Mail::CONFIG));
        assert_eq!(inbox.take(), Mail::NONE);
        mailbox.post(Mail::HINT);
        assert!(inbox.ready().try_recv().is_ok());
    }
}
