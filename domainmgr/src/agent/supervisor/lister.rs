//! The thread that compares what workers believe with what Xen has. The main thread never waits for Xen or xenstored.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use crossbeam_channel::{Sender, TrySendError, bounded};
use uuid::Uuid;

use crate::agent::worker::Handle;
use crate::base::services::Services;
use crate::toolstack::{Result, Seen, Session, Toolstack};

/// Workers, by their keys.
type Believers = HashMap<Uuid, Handle>;

/// The thread, which compares when it is asked to.
#[derive(Debug)]
pub(crate) struct Lister {
    asked: Sender<Believers>,
}

impl Lister {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn start(toolstack: Arc<dyn Toolstack>, services: &Services) -> io::Result<Self> {
        let (asked, questions) = bounded::<Believers>(1);
        services.start("list", 256 << 10, move || {
            let mut session = None;
            for believers in questions {
                match find(&*toolstack, &mut session, &believers) {
                    Ok(seen) => compare(&believers, &seen),
                    Err(e) => {
                        log::warn!("the domains cannot be listed: {e}");
                        // A new session may do better.
                        session = None;
                    }
                }
            }
        })?;
        Ok(Self { asked })
    }

    /// Asks for a comparison. Workers whose domains are not what they believe are told.
    ///
    /// Returns false if an earlier comparison has not begun yet.
    pub(super) fn ask(&self, believers: Believers) -> bool {
        // Disconnected: the thread has ended, which is reported elsewhere.
        !matches!(self.asked.try_send(believers), Err(TrySendError::Full(_)))
    }
}

fn find(
    toolstack: &dyn Toolstack,
    session: &mut Option<Box<dyn Session>>,
    believers: &Believers,
) -> Result<Vec<Seen>> {
    let session = match session {
        Some(session) => session,
        slot => slot.insert(toolstack.session()?),
    };
    session.find(&|uuid| believers.contains_key(&uuid))
}

fn compare(believers: &Believers, seen: &[Seen]) {
    let mut by_key: HashMap<Uuid, Vec<&Seen>> = HashMap::new();
    for one in seen {
        by_key.entry(one.id.uuid).or_default().push(one);
    }
    for (key, believer) in believers {
        let Some(belief) = believer.belief() else {
            continue;
        };
        let there = by_key.get(key).into_iter().flatten().copied();
        if !belief.holds(there) {
            believer.is_wrong();
        }
    }
}
