//! The cable between two hosts: carries Ethernet frames, and applies the faults that are ordered.
//!
//! Each host's QEMU has one end, a Unix socket on which it sends and receives frames. The threads of each direction are one that reads
//! frames and one that hands them over when they are due.

mod lane;
mod order;

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::json;

use self::lane::{Flight, Lane};
use self::order::Order;
use super::host::Host;

/// Number of frames in flight in one direction. A sender of more has to wait, as on a link with flow control.
const FLIGHTS: usize = 8192;

/// Size of the longest frame that QEMU's network adapters send.
const LONGEST: usize = 64 << 10;

/// A running cable. It ends with the two computers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cable {
    /// The directions, by [`Host::index`] of their sender.
    lanes: Arc<[Mutex<Lane>; 2]>,
}

impl Cable {
    /// Connects the ends, the sockets of two QEMUs in the order of [`Host::BOTH`].
    pub(crate) fn connect(ends: [&Path; 2]) -> Result<Self> {
        let cable = Self::default();
        let connect = |path: &Path| {
            UnixStream::connect(path)
                .with_context(|| format!("cannot connect to {}", path.display()))
        };
        let sockets = [connect(ends[0])?, connect(ends[1])?];
        for sender in Host::BOTH {
            let from = sockets[sender.index()].try_clone()?;
            let to = sockets[sender.peer().index()].try_clone()?;
            cable.carry(sender, from, to)?;
        }
        Ok(cable)
    }

    /// Starts the threads of one direction.
    fn carry(&self, sender: Host, from: UnixStream, to: UnixStream) -> Result<()> {
        let (departures, arrivals) = sync_channel(FLIGHTS);
        let cable = self.clone();
        start(format!("cable-from-{}", sender.name()), move || {
            cable.depart(sender, from, &departures)
        })?;
        let cable = self.clone();
        start(format!("cable-to-{}", sender.peer().name()), move || {
            cable.arrive(sender, to, &arrivals)
        })
    }

    /// Reads frames until QEMU has ended.
    fn depart(
        &self,
        sender: Host,
        from: UnixStream,
        departures: &SyncSender<(Flight, Vec<u8>)>,
    ) -> io::Result<()> {
        let mut from = BufReader::with_capacity(LONGEST, from);
        while let Some(frame) = read_frame(&mut from)? {
            let flight = self.lane(sender).send(Instant::now(), frame.len());
            let Some(flight) = flight else { continue };
            if departures.send((flight, frame)).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Hands frames over until one of the QEMUs has ended.
    fn arrive(
        &self,
        sender: Host,
        mut to: UnixStream,
        arrivals: &Receiver<(Flight, Vec<u8>)>,
    ) -> io::Result<()> {
        for (flight, frame) in arrivals {
            thread::sleep(flight.due.saturating_duration_since(Instant::now()));
            if self.lane(sender).arrives(&flight) {
                write_frame(&mut to, &frame)?;
            }
        }
        Ok(())
    }

    /// Takes orders from a new socket, one a line. The answer to each is a line of JSON: the state of the cable, or the error.
    pub(crate) fn take_orders(&self, socket: &Path) -> Result<()> {
        let listener = UnixListener::bind(socket)
            .with_context(|| format!("cannot create {}", socket.display()))?;
        let cable = self.clone();
        start("cable-orders".to_owned(), move || {
            for connection in listener.incoming() {
                let (cable, connection) = (cable.clone(), connection?);
                start("cable-order".to_owned(), move || cable.serve(&connection))
                    .map_err(io::Error::other)?;
            }
            Ok(())
        })
    }

    fn serve(&self, connection: &UnixStream) -> io::Result<()> {
        let mut answers = connection;
        for line in BufReader::new(connection).lines() {
            let answer = match Order::parse(&line?) {
                Ok(order) => self.obey(&order),
                Err(error) => json!({ "error": format!("{error:#}") }),
            };
            answers.write_all(format!("{answer}\n").as_bytes())?;
        }
        Ok(())
    }

    /// Changes both directions or one, and returns the state of both.
    fn obey(&self, order: &Order) -> serde_json::Value {
        for sender in Host::BOTH {
            if order.from.is_none_or(|from| from == sender) {
                let mut lane = self.lane(sender);
                order.changes.iter().for_each(|change| lane.change(*change));
            }
        }
        json!({
            "alpha": self.lane(Host::Alpha).state(),
            "beta": self.lane(Host::Beta).state(),
        })
    }

    fn lane(&self, sender: Host) -> MutexGuard<'_, Lane> {
        self.lanes[sender.index()]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a thread. It ends when a computer is switched off, so its error is of no interest.
fn start(name: String, work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<()> {
    thread::Builder::new()
        .name(name)
        .spawn(move || {
            let _ = work();
        })
        .context("cannot start a thread of the cable")?;
    Ok(())
}

/// Reads a frame as QEMU's `-netdev stream` sends it: the length in four bytes, and the frame. Returns `None` at the end.
fn read_frame(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST {
        let error = format!("a frame of {length} bytes");
        return Err(io::Error::new(ErrorKind::InvalidData, error));
    }
    let mut frame = vec![0; length];
    from.read_exact(&mut frame)?;
    Ok(Some(frame))
}

fn write_frame(to: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    // One write, so that QEMU is woken once.
    let mut packet = Vec::with_capacity(4 + frame.len());
    packet.extend(length.to_be_bytes());
    packet.extend(frame);
    to.write_all(&packet)
}

#[cfg(test)]
mod tests;
