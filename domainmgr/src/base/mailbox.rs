//! Tells a worker what to look at again: flags that accumulate into one wake-up. Sending never blocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};

/// A set of flags: the things that a worker is to look at again.
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
    /// Nothing: the worker ends, and leaves everything as it is.
    pub const STOP: Self = Self(8);
    /// Nothing: the worker logs the state of its domain.
    pub const DUMP: Self = Self(16);
    /// Things that were refused because other domains had them.
    pub const FREED: Self = Self(64);
    /// Orders of operators.
    pub const ORDER: Self = Self(128);
    /// Every domain with the key's uuid.
    pub const RESYNC: Self = Self(32);

    /// Returns whether all flags of `other` are set.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns the union of both sets.
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
    /// Sends `mail` to the worker. Flags that the worker has not taken yet are merged with these.
    pub fn post(&self, mail: Mail) {
        self.flags.fetch_or(mail.0, Ordering::SeqCst);
        // Full: the worker will be woken anyway. Disconnected: the worker has ended.
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
