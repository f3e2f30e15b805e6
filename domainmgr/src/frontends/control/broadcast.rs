//! New events, for all clients that follow them: one thread reads and encodes each page once, and writes it to each of them.
//!
//! It waits for no client. One that has not room for a whole page is given back to its own thread, with the rest of the page.

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use super::wire::{Event, Events};
use crate::base::services::Services;
use crate::journal::{Journal, PAGE, Page};

/// Time during which events gather after a page was sent: a death is several events.
const GATHERS: Duration = Duration::from_millis(50);
/// Stack of the thread, in bytes.
const STACK: usize = 256 << 10;

/// The client's own thread goes on: the rest of a message is to be written first, and then come the events after this one.
pub(super) struct Behind {
    pub(super) rest: Vec<u8>,
    pub(super) after: i64,
}

struct Listener {
    socket: UnixStream,
    after: i64,
    behind: Sender<Behind>,
    /// Also held by the client's thread, for as long as it waits.
    waits: Arc<()>,
}

/// A client that is being sent new events, until this is dropped.
pub(super) struct Listening {
    pub(super) behind: Receiver<Behind>,
    _waits: Arc<()>,
}

/// The clients to which new events are sent.
pub(super) struct Broadcast {
    listeners: Mutex<Vec<Listener>>,
    poke: Sender<()>,
    poked: Receiver<()>,
}

impl Broadcast {
    pub(super) fn new() -> Arc<Self> {
        let (poke, poked) = bounded(1);
        Arc::new(Self {
            listeners: Mutex::default(),
            poke,
            poked,
        })
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(super) fn start(self: &Arc<Self>, journal: Journal, services: &Services) -> io::Result<()> {
        let ours = Arc::clone(self);
        services.start("events", STACK, move || ours.run(&journal))
    }

    /// Sends this client the events after this one, from now on.
    pub(super) fn listen(&self, socket: UnixStream, after: i64) -> Listening {
        let (behind, theirs) = bounded(1);
        let waits = Arc::new(());
        self.lock().push(Listener {
            socket,
            after,
            behind,
            waits: Arc::clone(&waits),
        });
        // There may be some already.
        let _ = self.poke.try_send(());
        Listening {
            behind: theirs,
            _waits: waits,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Listener>> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, journal: &Journal) {
        // The subscription comes before the first look, so that no event is missed.
        let follower = journal.follow();
        loop {
            let alive = select! {
                recv(follower.news()) -> news => news.is_ok(),
                recv(self.poked) -> poked => poked.is_ok(),
            };
            if !alive {
                return;
            }
            // Taken out, because nothing that takes time is done under the lock.
            let mut listeners = mem::take(&mut *self.lock());
            listeners.retain(|one| Arc::strong_count(&one.waits) > 1);
            let before = listeners.len();
            let mut sent = false;
            let mut by_place = BTreeMap::<i64, Vec<Listener>>::new();
            for one in listeners {
                by_place.entry(one.after).or_default().push(one);
            }
            let mut up_to_date = Vec::with_capacity(before);
            while let Some((after, group)) = by_place.pop_first() {
                match Message::after(journal, after) {
                    Ok(None) => up_to_date.extend(group),
                    Ok(Some(message)) => {
                        sent = true;
                        let rest = group.into_iter().filter_map(|one| message.send_to(one));
                        let place = match message.is_full {
                            true => by_place.entry(message.last).or_default(),
                            false => &mut up_to_date,
                        };
                        place.extend(rest);
                    }
                    // Their own threads will see the failure as well, and tell them.
                    Err(_) => group.into_iter().for_each(|one| one.give_back(Vec::new())),
                }
            }
            self.lock().append(&mut up_to_date);
            if sent {
                thread::sleep(GATHERS);
            }
        }
    }
}

impl Listener {
    fn give_back(self, rest: Vec<u8>) {
        let after = self.after;
        // One that has left hears nothing.
        let _ = self.behind.send(Behind { rest, after });
    }
}

/// A page of events, as it goes to the clients.
struct Message {
    bytes: Vec<u8>,
    /// Number of the last event in it.
    last: i64,
    /// There may be more events.
    is_full: bool,
}

impl Message {
    /// The events after this one; `None` if there are none.
    fn after(journal: &Journal, after: i64) -> Result<Option<Self>, String> {
        let page = journal.events(after, None)?;
        let is_full = page.events.len() == PAGE;
        let Some((last, ..)) = page.events.last() else {
            return Ok(None);
        };
        let last = *last;
        let reply = serde_json::json!({"continues": true, "parameters": wired(page)});
        let mut bytes = reply.to_string().into_bytes();
        bytes.push(0);
        Ok(Some(Self {
            bytes,
            last,
            is_full,
        }))
    }

    /// Returns the client, unless it has not taken all of the message.
    fn send_to(&self, mut to: Listener) -> Option<Listener> {
        to.after = self.last;
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = loop {
            match send(&to.socket, &self.bytes, flags) {
                Err(Errno::INTR) => {}
                Ok(sent) => break sent,
                // The write of the client's own thread shows the reason.
                Err(_) => break 0,
            }
        };
        if sent == self.bytes.len() {
            return Some(to);
        }
        to.give_back(self.bytes[sent..].to_vec());
        None
    }
}

/// A page of events in the words of the interface.
pub(super) fn wired(page: Page) -> Events {
    let events = page.events.into_iter();
    Events {
        events: events
            .map(|(seq, key, event)| Event {
                seq,
                at: event.at,
                uuid: key.to_string(),
                name: event.name,
                domid: (event.domid != 0).then_some(event.domid),
                what: event.what,
                detail: event.detail,
            })
            .collect(),
        gap: page.gap,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn listener(socket: UnixStream) -> (Listener, Receiver<Behind>) {
        let (behind, theirs) = bounded(1);
        let listener = Listener {
            socket,
            after: 1,
            behind,
            waits: Arc::default(),
        };
        (listener, theirs)
    }

    #[test]
    fn one_without_room_gets_the_rest_by_its_own_thread() {
        let message = Message {
            bytes: (0..1 << 20).map(|n: u32| n.to_le_bytes()[0]).collect(),
            last: 9,
            is_full: false,
        };
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (one, behind) = listener(ours);
        assert!(message.send_to(one).is_none());
        let behind = behind.recv().unwrap();
        assert_eq!(behind.after, 9);
        let mut came = Vec::new();
        // The listener's descriptor, the last one, was dropped.
        theirs.read_to_end(&mut came).unwrap();
        assert!(!came.is_empty() && !behind.rest.is_empty());
        assert!([came, behind.rest].concat() == message.bytes);
    }

    #[test]
    fn one_with_room_is_kept_and_one_that_has_left_is_not() {
        let message = Message {
            bytes: b"{}\0".to_vec(),
            last: 9,
            is_full: false,
        };
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (one, behind) = listener(ours);
        let one = message.send_to(one).unwrap();
        assert_eq!(one.after, 9);
        let mut came = [0; 3];
        theirs.read_exact(&mut came).unwrap();
        assert_eq!(&came, b"{}\0");
        drop(theirs);
        assert!(message.send_to(one).is_none());
        assert_eq!(behind.recv().unwrap().rest, b"{}\0");
    }
}
