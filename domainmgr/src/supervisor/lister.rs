//! The thread that lists Xen's domains for the main thread, which never waits for Xen or xenstored.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use uuid::Uuid;

use crate::services::Services;
use crate::toolstack::{Result, Seen, Session, Toolstack};

/// Lists domains when it is asked to.
#[derive(Debug)]
pub(crate) struct Lister {
    asked: Sender<HashSet<Uuid>>,
}

impl Lister {
    /// Starts the thread. What it finds comes from the second one.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn start(
        toolstack: Arc<dyn Toolstack>,
        services: &Services,
    ) -> io::Result<(Self, Receiver<Result<Vec<Seen>>>)> {
        let (asked, questions) = bounded::<HashSet<Uuid>>(1);
        let (tx, found) = bounded(1);
        services.start("list", 256 << 10, move || {
            let mut session = None;
            for keys in questions {
                let list = find(&*toolstack, &mut session, &keys);
                if list.is_err() {
                    // A new connection may do better.
                    session = None;
                }
                if tx.send(list).is_err() {
                    return;
                }
            }
        })?;
        Ok((Self { asked }, found))
    }

    /// Asks for the domains with these uuids. `false`: the last list is still being made.
    pub(super) fn ask(&self, keys: HashSet<Uuid>) -> bool {
        // Disconnected: it has ended, which is heard of otherwise.
        !matches!(self.asked.try_send(keys), Err(TrySendError::Full(_)))
    }
}

fn find(
    toolstack: &dyn Toolstack,
    session: &mut Option<Box<dyn Session>>,
    keys: &HashSet<Uuid>,
) -> Result<Vec<Seen>> {
    let session = match session {
        Some(session) => session,
        slot => slot.insert(toolstack.session()?),
    };
    session.find(&|uuid| keys.contains(&uuid))
}
