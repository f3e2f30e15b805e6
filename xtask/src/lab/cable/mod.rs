//! The cable between two hosts: carries Ethernet frames, and applies the faults that are ordered.
//!
//! Each host's QEMU has one end, a Unix socket on which it sends and receives frames. The threads of each direction are one that reads
//! frames and one that hands them over when they are due. A host that is switched off and on again has a new QEMU, whose end is plugged
//! in anew; the faults of the cable stay.

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

use self::lane::{Change, Flight, Lane};
use self::order::Order;
use super::host::Host;

/// Number of frames in flight in one direction. A sender of more has to wait, as on a link with flow control.
const FLIGHTS: usize = 8192;

/// Size of the longest frame that QEMU's network adapters send.
const LONGEST: usize = 64 << 10;

/// A frame on its way.
type Departure = (Flight, Vec<u8>);

/// A running cable. It ends with this process.
#[derive(Debug, Clone)]
pub(crate) struct Cable {
    /// The directions, by [`Host::index`] of their sender.
    lanes: Arc<[Mutex<Lane>; 2]>,
    /// The sockets of the hosts that are on, by [`Host::index`].
    ends: Arc<[Mutex<Option<UnixStream>>; 2]>,
    /// Ways for frames, by [`Host::index`] of their sender.
    departures: [SyncSender<Departure>; 2],
}

impl Cable {
    /// Makes a cable with nothing at its ends.
    pub(crate) fn new() -> Result<Self> {
        let (from_alpha, to_beta) = sync_channel(FLIGHTS);
        let (from_beta, to_alpha) = sync_channel(FLIGHTS);
        let cable = Self {
            lanes: Arc::default(),
            ends: Arc::default(),
            departures: [from_alpha, from_beta],
        };
        for (sender, arrivals) in Host::BOTH.into_iter().zip([to_beta, to_alpha]) {
            let lanes = Arc::clone(&cable.lanes);
            let ends = Arc::clone(&cable.ends);
            start(format!("cable-to-{}", sender.peer().name()), move || {
                arrive(
                    &lanes[sender.index()],
                    &ends[sender.peer().index()],
                    &arrivals,
                );
                Ok(())
            })?;
        }
        Ok(cable)
    }

    /// Plugs the cable into a host, by the socket of its QEMU.
    pub(crate) fn plug(&self, host: Host, path: &Path) -> Result<()> {
        let socket = UnixStream::connect(path)
            .with_context(|| format!("cannot connect to {}", path.display()))?;
        let from = socket.try_clone()?;
        *lock(&self.ends[host.index()]) = Some(socket);
        let lanes = Arc::clone(&self.lanes);
        let departures = self.departures[host.index()].clone();
        start(format!("cable-from-{}", host.name()), move || {
            depart(&lanes[host.index()], from, &departures)
        })
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

    /// Cuts both directions, or mends them.
    pub(crate) fn cut(&self, cut: bool) {
        let change = if cut { Change::Cut } else { Change::Mend };
        self.obey(&Order {
            from: None,
            changes: vec![change],
        });
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
        lock(&self.lanes[sender.index()])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads frames until this QEMU has ended.
fn depart(
    lane: &Mutex<Lane>,
    from: UnixStream,
    departures: &SyncSender<Departure>,
) -> io::Result<()> {
    let mut from = BufReader::with_capacity(LONGEST, from);
    while let Some(frame) = read_frame(&mut from)? {
        let flight = lock(lane).send(Instant::now(), frame.len());
        let Some(flight) = flight else { continue };
        if departures.send((flight, frame)).is_err() {
            break;
        }
    }
    Ok(())
}

/// Hands frames over until the cable is gone. Those for a host that is off are lost.
fn arrive(lane: &Mutex<Lane>, to: &Mutex<Option<UnixStream>>, arrivals: &Receiver<Departure>) {
    for (flight, frame) in arrivals {
        thread::sleep(flight.due.saturating_duration_since(Instant::now()));
        if !lock(lane).arrives(&flight) {
            continue;
        }
        // A frame that a new QEMU of this host gets half is no worse than one that it gets too late.
        let socket = lock(to).as_ref().map(UnixStream::try_clone);
        if let Some(Ok(mut socket)) = socket {
            let _ = write_frame(&mut socket, &frame);
        }
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
