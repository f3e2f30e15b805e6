//! A relay between an agent and the connection to the other host, which cuts the cable at a chosen message of the migration.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use super::{beta::Beta, cable};

/// Moment of a migration at which the cable is cut, in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The receiver's banner is lost.
    Banner,
    /// The guest runs, and so many bytes of it have gone.
    Transfer(u64),
    /// The receiver's word that it has everything is lost.
    Ready,
    /// GO is lost.
    Go,
    /// The receiver's word that the guest runs is lost.
    Word,
    /// Everything has arrived.
    After,
}

impl Moment {
    pub(crate) const ALL: [Self; 7] = [
        Self::Banner,
        Self::Transfer(200_000),
        Self::Transfer(6_000_000),
        Self::Ready,
        Self::Go,
        Self::Word,
        Self::After,
    ];

    /// Returns whether the guest has been given away for good, so that it runs on the other host in the end.
    pub(crate) fn is_past_go(self) -> bool {
        matches!(self, Self::Word | Self::After)
    }

    /// The message at which the cable is cut, and whether it comes from the other host.
    fn message(self) -> Option<(&'static [u8], bool, Cut)> {
        Some(match self {
            Self::Banner => (b"migration receiver ready", true, Cut::Before),
            Self::Transfer(_) => return None,
            Self::Ready => (b"ready to unpause", true, Cut::Before),
            Self::Go => (b"domain is yours", false, Cut::Before),
            Self::Word => (b"unpause results", true, Cut::Before),
            Self::After => (b"unpause results", true, Cut::After),
        })
    }
}

/// Number of bytes in which a message is looked for.
const KEPT: usize = 128;

type Chosen = Arc<Mutex<Option<Moment>>>;

fn lock(chosen: &Chosen) -> MutexGuard<'_, Option<Moment>> {
    chosen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A relay, for as long as the test runs.
pub(crate) struct Relay {
    port: u16,
    chosen: Chosen,
}

impl Relay {
    /// Starts one. `command` makes the command that connects to the other host, from the line that is to run there.
    pub(crate) fn start(command: impl Fn(&str) -> Command + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Self {
            port: listener.local_addr().unwrap().port(),
            chosen: Arc::default(),
        };
        let chosen = Arc::clone(&relay.chosen);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let line = first_line(&stream);
                pass_on(stream, command(&line), &line, &chosen);
            }
        });
        relay
    }

    pub(crate) fn to(beta: &Beta) -> Self {
        let beta = beta.address();
        Self::start(move |line| beta.command(line))
    }

    /// Has the next migration cut at this moment.
    pub(crate) fn cut_at(&self, moment: Moment) {
        *lock(&self.chosen) = Some(moment);
    }

    /// Returns whether the moment has come.
    pub(crate) fn has_cut(&self) -> bool {
        lock(&self.chosen).is_none()
    }

    /// The command that takes the place of ssh, for `--via`.
    pub(crate) fn via(&self) -> String {
        let port = self.port;
        // All of it ends with the connection, as ssh does: otherwise `cat` would keep the agent's end open.
        format!(
            "f() {{ exec setsid sh -c '{{ echo \"$1\"; cat; }} | {{ busybox nc 127.0.0.1 {port}; kill 0; }}' sh \"$2\"; }}; f"
        )
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
fn pass_on(stream: TcpStream, mut command: Command, line: &str, chosen: &Chosen) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Questions before and after a migration are not cut.
    let cutter = |back| {
        line.contains("--token").then(|| Cutter {
            chosen: Arc::clone(chosen),
            back,
            all: 0,
            last: Vec::new(),
        })
    };
    let (there, back) = (cutter(false), cutter(true));
    let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut reader, mut writer) = (stream.try_clone().unwrap(), stream);
    thread::spawn(move || copy(&mut reader, &mut to, there));
    thread::spawn(move || {
        copy(&mut from, &mut writer, back);
        let _ = writer.shutdown(Shutdown::Both);
        let _ = child.wait();
    });
}

/// Copies until the end, or until the cable is cut.
fn copy(from: &mut impl Read, to: &mut impl Write, mut cutter: Option<Cutter>) {
    let mut buffer = [0; 16 << 10];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(read) => read,
        };
        let cut = cutter
            .as_mut()
            .and_then(|cutter| cutter.look(&buffer[..read]));
        if cut == Some(Cut::Before) {
            cable::order("cut");
            return;
        }
        if to
            .write_all(&buffer[..read])
            .and_then(|()| to.flush())
            .is_err()
        {
            return;
        }
        if cut == Some(Cut::After) {
            cable::order("cut");
        }
    }
}

/// Place of a cut, relative to the bytes that were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Before,
    After,
}

/// Finds the chosen moment in what goes in one direction.
struct Cutter {
    chosen: Chosen,
    /// The bytes come from the other host.
    back: bool,
    /// Number of bytes so far.
    all: u64,
    /// The last ones: a message may come in parts.
    last: Vec<u8>,
}

impl Cutter {
    fn look(&mut self, bytes: &[u8]) -> Option<Cut> {
        self.all += bytes.len() as u64;
        self.last.extend_from_slice(bytes);
        let cut = {
            let mut chosen = lock(&self.chosen);
            let cut = chosen.and_then(|moment| self.is_here(moment));
            if cut.is_some() {
                *chosen = None;
            }
            cut
        };
        let old = self.last.len().saturating_sub(KEPT);
        self.last.drain(..old);
        cut
    }

    fn is_here(&self, moment: Moment) -> Option<Cut> {
        if let Moment::Transfer(after) = moment {
            return (!self.back && self.all > after).then_some(Cut::Before);
        }
        let (message, back, cut) = moment.message()?;
        let said = || self.last.windows(message.len()).any(|part| part == message);
        (back == self.back && said()).then_some(cut)
    }
}
