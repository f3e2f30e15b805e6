//! A relay between an agent and the connection to the other host, which does something at a chosen moment of the migration: it cuts the
//! cable, or kills an agent.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::{beta::Beta, cable, courier};
use crate::support::context;
use libxl::ShutdownReason;

/// Moment of a migration. Those of a message are before the host at this end has got it, or before it has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The receiver says that it is there.
    Header,
    /// The guest runs, and so many bytes of it have gone.
    Transfer(u64),
    /// The guest has been suspended, and the rest of it is on its way.
    Suspended,
    /// The receiver says that it has everything.
    Ready,
    /// The sender gives the guest away.
    Go,
    /// The receiver says that the guest runs.
    Word,
    /// The sender has been told so.
    After,
}

/// In the middle of the first pass over the guest's memory.
const FIRST_PASS: Moment = Moment::Transfer(200_000);
/// In the last pass of a guest of 4 MiB while it still runs.
const LAST_PASS: Moment = Moment::Transfer(4_000_000);

impl Moment {
    pub(crate) const ALL: [Self; 8] = [
        Self::Header,
        FIRST_PASS,
        LAST_PASS,
        Self::Suspended,
        Self::Ready,
        Self::Go,
        Self::Word,
        Self::After,
    ];

    /// The message that marks it, and the host that sends this.
    fn message(self) -> Option<(&'static [u8], End)> {
        Some(match self {
            Self::Header => (b"migration receiver ready", End::Beta),
            Self::Transfer(_) | Self::Suspended => return None,
            Self::Ready => (b"ready to unpause", End::Beta),
            Self::Go => (b"domain is yours", End::Alpha),
            Self::Word | Self::After => (b"unpause results", End::Beta),
        })
    }
}

/// One of the hosts. The guest comes from alpha.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Alpha,
    Beta,
}

/// Something that happens at a moment.
pub(crate) enum Disturbance {
    /// The cable loses everything that comes from this host, or from both.
    Cut(Option<End>),
    /// Something else, after which the connection goes on.
    Other(Box<dyn FnOnce() + Send>),
}

impl Disturbance {
    /// Returns whether what this host sends is lost.
    fn loses(&self, from: End) -> bool {
        match self {
            Self::Cut(end) => end.is_none_or(|end| end == from),
            Self::Other(_) => false,
        }
    }

    fn happen(self) {
        match self {
            Self::Cut(None) => drop(cable::order("cut")),
            Self::Cut(Some(End::Alpha)) => drop(cable::order("cut from alpha")),
            Self::Cut(Some(End::Beta)) => drop(cable::order("cut from beta")),
            Self::Other(act) => act(),
        }
    }
}

/// Time after a cut in which the connection is given up, as ssh does with `ServerAliveInterval`.
const GIVES_UP: Duration = Duration::from_secs(3);

/// Number of bytes in which a message is looked for.
const KEPT: usize = 128;

type Chosen = Arc<Mutex<Option<(Moment, Disturbance)>>>;

fn lock(chosen: &Chosen) -> MutexGuard<'_, Option<(Moment, Disturbance)>> {
    chosen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A relay, for as long as the test runs.
pub(crate) struct Relay {
    port: u16,
    chosen: Chosen,
}

impl Relay {
    /// Starts one to this host, for lines with these words before them.
    fn start(to: &'static str, words: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Self {
            port: listener.local_addr().unwrap().port(),
            chosen: Arc::default(),
        };
        let chosen = Arc::clone(&relay.chosen);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let line = first_line(&stream);
                // Otherwise the agent sees a connection that ends.
                if let Some(far) = courier::connect(to) {
                    pass_on(stream, far, &words, &line, &chosen);
                }
            }
        });
        relay
    }

    pub(crate) fn to(beta: &Beta) -> Self {
        Self::start("beta", beta.address().there())
    }

    /// Has this happen to the next migration at this moment.
    pub(crate) fn disturb(&self, moment: Moment, disturbance: Disturbance) {
        *lock(&self.chosen) = Some((moment, disturbance));
    }

    /// Returns whether the moment has come.
    pub(crate) fn has_come(&self) -> bool {
        lock(&self.chosen).is_none()
    }

    /// The command that takes the place of ssh, for `--via`.
    pub(crate) fn via(&self) -> String {
        let (port, courier) = (self.port, courier::command());
        format!("f() {{ exec {courier} 127.0.0.1:{port} \"$2\"; }}; f")
    }
}

/// Reads the line that is to run on the other host.
fn first_line(mut stream: &TcpStream) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).unwrap_or(0) == 1 && byte != *b"\n" {
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

/// Passes everything on in both directions, in threads of their own.
fn pass_on(near: TcpStream, mut far: TcpStream, words: &str, line: &str, chosen: &Chosen) {
    if writeln!(far, "{words}{line}").is_err() {
        return;
    }
    let connection = Arc::new(Connection {
        // Questions before and after a migration are left alone.
        chosen: line.contains("--token").then(|| Arc::clone(chosen)),
        near,
        far,
        lost: Default::default(),
    });
    for from in [End::Alpha, End::Beta] {
        let connection = Arc::clone(&connection);
        thread::spawn(move || connection.pass_on(from));
    }
}

/// A connection of the agent that goes on to the other host.
struct Connection {
    chosen: Option<Chosen>,
    near: TcpStream,
    far: TcpStream,
    /// For what comes from alpha and from beta: whether the cable loses it.
    lost: [AtomicBool; 2],
}

impl Connection {
    /// Passes on what comes from this end.
    fn pass_on(self: &Arc<Self>, from: End) {
        let (mut reader, mut writer) = match from {
            End::Alpha => (&self.near, &self.far),
            End::Beta => (&self.far, &self.near),
        };
        let mut seen = Seen::default();
        let mut buffer = [0; 16 << 10];
        loop {
            let read = match reader.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(read) => read,
            };
            seen.add(&buffer[..read]);
            let mut come = self.come(|moment| seen.is_at(moment, from));
            if let Some((_, what)) = come.take_if(|(moment, _)| *moment != Moment::After) {
                self.disturb(what);
            }
            if !self.loses(from) && writer.write_all(&buffer[..read]).is_err() {
                break;
            }
            if let Some((_, what)) = come {
                self.disturb(what);
            }
        }
        // The end is lost as well.
        if !self.loses(from) {
            let how = match from {
                End::Alpha => Shutdown::Write,
                End::Beta => Shutdown::Both,
            };
            let _ = writer.shutdown(how);
        }
    }

    fn loses(&self, from: End) -> bool {
        self.lost[from as usize].load(Ordering::SeqCst)
    }

    /// Takes what is to happen, if its moment has come.
    fn come(&self, is_now: impl FnOnce(Moment) -> bool) -> Option<(Moment, Disturbance)> {
        lock(self.chosen.as_ref()?).take_if(|(moment, _)| is_now(*moment))
    }

    fn disturb(self: &Arc<Self>, what: Disturbance) {
        for from in [End::Alpha, End::Beta] {
            self.lost[from as usize].store(what.loses(from), Ordering::SeqCst);
        }
        if matches!(what, Disturbance::Cut(_)) {
            let connection = Arc::clone(self);
            thread::spawn(move || {
                thread::sleep(GIVES_UP);
                for stream in [&connection.near, &connection.far] {
                    let _ = stream.shutdown(Shutdown::Both);
                }
            });
        }
        what.happen();
    }
}

/// The bytes that have come from one end.
#[derive(Default)]
struct Seen {
    /// Number of bytes.
    all: u64,
    /// The last of them: a message may come in parts.
    last: Vec<u8>,
}

impl Seen {
    fn add(&mut self, bytes: &[u8]) {
        let old = self.last.len().saturating_sub(KEPT);
        self.last.drain(..old);
        self.all += bytes.len() as u64;
        self.last.extend_from_slice(bytes);
    }

    fn is_at(&self, moment: Moment, from: End) -> bool {
        match (moment, moment.message()) {
            (Moment::Transfer(after), _) => from == End::Alpha && self.all > after,
            (Moment::Suspended, _) => from == End::Alpha && a_guest_is_suspended(),
            (_, None) => false,
            (_, Some((message, sender))) => {
                let said = || self.last.windows(message.len()).any(|part| part == message);
                from == sender && said()
            }
        }
    }
}

/// Returns whether a domain of this host is suspended. There is one besides dom0.
fn a_guest_is_suspended() -> bool {
    let domains = context().list_domains().unwrap();
    domains
        .iter()
        .any(|domain| domain.shutdown_reason == Some(ShutdownReason::SUSPEND))
}
