//! The clients of the socket, and which of them is idle.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Maximum number of clients that are served at once.
pub(super) const CLIENTS: usize = 64;

/// Number of clients of root's that are served beside them, so that nobody can lock root out.
const OF_ROOT: usize = 8;

struct Client {
    stream: UnixStream,
    /// Time since which the client has made no request; `None` while it is being served.
    idle: Option<Instant>,
}

/// All connected clients.
#[derive(Default)]
pub(super) struct Clients {
    last: u64,
    all: BTreeMap<u64, Client>,
}

pub(super) type Table = Arc<Mutex<Clients>>;

fn lock(table: &Table) -> MutexGuard<'_, Clients> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client's entry in the table, for as long as it is served.
pub(super) struct Connection {
    stream: UnixStream,
    number: u64,
    table: Table,
}

/// The client is being served until this is dropped.
pub(super) struct Busy<'a>(&'a Connection);

impl Connection {
    /// Returns the number of connected clients, this one included.
    pub(super) fn clients(&self) -> usize {
        lock(&self.table).all.len()
    }

    /// Enters a client in the table. Returns `None` if there are too many clients, all of which are being served.
    pub(super) fn enter(
        stream: UnixStream,
        is_root: bool,
        table: &Table,
    ) -> io::Result<Option<Self>> {
        let theirs = stream.try_clone()?;
        let mut clients = lock(table);
        let most = if is_root { CLIENTS + OF_ROOT } else { CLIENTS };
        if clients.all.len() >= most {
            let idle = clients.all.iter().filter_map(|(n, c)| Some((c.idle?, *n)));
            let Some((_, oldest)) = idle.min() else {
                return Ok(None);
            };
            if let Some(gone) = clients.all.remove(&oldest) {
                let _ = gone.stream.shutdown(std::net::Shutdown::Both);
            }
        }
        clients.last += 1;
        let number = clients.last;
        let client = Client {
            stream: theirs,
            idle: Some(Instant::now()),
        };
        clients.all.insert(number, client);
        Ok(Some(Self {
            stream,
            number,
            table: Arc::clone(table),
        }))
    }

    /// Returns another descriptor of the client's socket.
    pub(super) fn socket(&self) -> io::Result<UnixStream> {
        self.stream.try_clone()
    }

    /// Returns whether the client has closed its end.
    pub(super) fn has_left(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::new(&self.stream, PollFlags::empty())];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut fds, Some(&at_once)).is_ok()
            && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
    }

    /// Marks the client as busy: it does not have to make room for another.
    pub(super) fn busy(&self) -> Busy<'_> {
        self.mark(None);
        Busy(self)
    }

    fn mark(&self, idle: Option<Instant>) {
        if let Some(client) = lock(&self.table).all.get_mut(&self.number) {
            client.idle = idle;
        }
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.mark(Some(Instant::now()));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        lock(&self.table).all.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(is_root: bool, table: &Table) -> Option<Connection> {
        let (stream, _) = UnixStream::pair().unwrap();
        Connection::enter(stream, is_root, table).unwrap()
    }

    #[test]
    fn nobody_can_lock_root_out() {
        let table = Table::default();
        let others: Vec<_> = (0..CLIENTS).filter_map(|_| enter(false, &table)).collect();
        let waits: Vec<_> = others.iter().map(Connection::busy).collect();
        assert!(enter(false, &table).is_none());
        let of_root: Vec<_> = (0..OF_ROOT).filter_map(|_| enter(true, &table)).collect();
        assert_eq!(of_root.len(), OF_ROOT);
        // One of root's that is idle makes room for the next.
        assert!(enter(true, &table).is_some());
        drop(waits);
    }

    #[test]
    fn the_one_that_has_been_idle_for_the_longest_time_makes_room() {
        let table = Table::default();
        let all: Vec<_> = (0..CLIENTS).filter_map(|_| enter(false, &table)).collect();
        let _busy = all[0].busy();
        let next = enter(false, &table).unwrap();
        assert_eq!(next.clients(), CLIENTS);
        let left: Vec<u64> = lock(&table).all.keys().copied().collect();
        assert!(left.contains(&all[0].number) && !left.contains(&all[1].number));
    }
}
