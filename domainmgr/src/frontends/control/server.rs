//! The socket: who may connect, how many, and how much they may send.

use std::fs::{self, Permissions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use nix::unistd::{Gid, Group, Uid, User};
use thiserror::Error;
use varlink::{ConnectionHandler, VarlinkService};

use super::broadcast::Broadcast;
use super::connection::{CLIENTS, Connection, Table};
use super::interface::NAME;
use super::passed;
use super::reception::{Reception, Upgrade, Upgraded};
use super::service::{Service, Sources};
use super::wire;
use crate::base::services::Services;
use crate::toolstack::Peer;

/// Maximum size of a client's message, in bytes.
const MESSAGE: usize = 64 << 10;
/// Write timeout for a client that does not read.
const UNREAD: Duration = Duration::from_secs(10);
/// Stack of the thread of a client, in bytes.
const STACK: usize = 256 << 10;
/// Pause after a connection that could not be accepted for lack of file descriptors or threads.
const PAUSE: Duration = Duration::from_millis(200);

/// The reason why the socket cannot be provided.
#[derive(Debug, Error)]
pub enum SocketError {
    /// The path is that of a file which is not a socket.
    #[error("--control {}: there is a file that is no socket", .0.display())]
    InTheWay(PathBuf),
    /// Another program listens there.
    #[error("--control {}: another program listens there", .0.display())]
    Taken(PathBuf),
    /// The operating system returned an error.
    #[error("--control {}: {source}", path.display())]
    System {
        /// The socket.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The host has no group of that name.
    #[error("--control-group {0}: there is no such group")]
    NoGroup(String),
}

/// The socket, for as long as it is there.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    inode: u64,
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Another agent may have put its own there.
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens at `path`. Root, the user that runs the agent, and the members of `group` may connect.
///
/// # Errors
/// The socket cannot be provided.
pub fn start(
    path: &Path,
    group: Option<&str>,
    sources: Sources,
    services: &Services,
) -> Result<Socket, SocketError> {
    let system = |source| SocketError::System {
        path: path.to_owned(),
        source,
    };
    let gid = group.map(find_group).transpose()?;
    make_room(path)?;
    let listener = UnixListener::bind(path).map_err(system)?;
    let allowed = if gid.is_some() { 0o660 } else { 0o600 };
    if let Some(gid) = gid {
        open_to(path, gid).map_err(system)?;
    }
    fs::set_permissions(path, Permissions::from_mode(allowed)).map_err(system)?;
    let inode = fs::symlink_metadata(path).map_err(system)?.ino();
    let broadcast = Broadcast::new();
    if let Some(journal) = &sources.journal {
        let started = broadcast.start(journal.clone(), services);
        started.map_err(system)?;
    }
    services
        .start("control", STACK, move || {
            accept(&listener, &sources, &broadcast);
        })
        .map_err(system)?;
    Ok(Socket {
        path: path.to_owned(),
        inode,
    })
}

/// Gives the group access to the socket, and to its directory if that is private (mode 0700).
fn open_to(path: &Path, gid: Gid) -> io::Result<()> {
    std::os::unix::fs::chown(path, None, Some(gid.as_raw()))?;
    let Some(dir) = path.parent() else {
        return Ok(());
    };
    if fs::metadata(dir)?.mode() & 0o777 == 0o700 {
        std::os::unix::fs::chown(dir, None, Some(gid.as_raw()))?;
        fs::set_permissions(dir, Permissions::from_mode(0o710))?;
    }
    Ok(())
}

fn find_group(name: &str) -> Result<Gid, SocketError> {
    let known = Group::from_name(name).ok().flatten().map(|g| g.gid);
    let number = || name.parse().ok().map(Gid::from_raw);
    known
        .or_else(number)
        .ok_or_else(|| SocketError::NoGroup(name.to_owned()))
}

/// Removes a socket that an agent has left because it was killed.
fn make_room(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(found) if !found.file_type().is_socket() => Err(SocketError::InTheWay(path.to_owned())),
        Ok(_) if UnixStream::connect(path).is_ok() => Err(SocketError::Taken(path.to_owned())),
        Ok(_) => fs::remove_file(path).map_err(|source| SocketError::System {
            path: path.to_owned(),
            source,
        }),
    }
}

fn accept(listener: &UnixListener, sources: &Sources, broadcast: &Arc<Broadcast>) {
    let table = Table::default();
    loop {
        let taken = listener
            .accept()
            .and_then(|(stream, _)| admit(stream, &table, sources, broadcast));
        if let Err(e) = taken {
            log::warn!("a client of the control socket cannot be served: {e}");
            thread::sleep(PAUSE);
        }
    }
}

/// Gives the client a thread. If there are too many clients, the one that has been idle for the longest time makes room.
fn admit(
    stream: UnixStream,
    table: &Table,
    sources: &Sources,
    broadcast: &Arc<Broadcast>,
) -> io::Result<()> {
    stream.set_write_timeout(Some(UNREAD))?;
    let (client, is_root) = who(&stream)?;
    let Some(connection) = Connection::enter(stream.try_clone()?, is_root, table)? else {
        refuse(&stream);
        return Ok(());
    };
    let upgraded = Upgraded::default();
    let reception = Arc::clone(&sources.reception);
    let by = client.clone();
    let service = Service {
        client,
        is_root,
        sources: sources.clone(),
        connection,
        broadcast: Arc::clone(broadcast),
        upgraded: Arc::clone(&upgraded),
    };
    thread::Builder::new()
        .name("client".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            let raw = stream.try_clone();
            if let Err(e) = serve(stream, service) {
                log::debug!("a client of the control socket: {e}");
                return;
            }
            let upgrade = upgraded
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let (Some(upgrade), Ok(raw)) = (upgrade, raw) {
                receive(&raw, upgrade, reception.as_ref(), &by);
            }
        })
        .map(drop)
}

/// Tells a client that too many others are being served.
fn refuse(mut stream: &UnixStream) {
    let complaint = wire::Complaint {
        limit: Some(CLIENTS),
        ..wire::Complaint::default()
    };
    let reply = serde_json::json!({
        "error": format!("{NAME}.TooManyClients"),
        "parameters": complaint,
    });
    let _ = stream.write_all(format!("{reply}\0").as_bytes());
    log::warn!("a client of the control socket is not served: there are {CLIENTS}");
}

fn serve(stream: UnixStream, service: Service) -> io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(Capped::new(stream));
    varlink_service(service)
        .handle(&mut reader, &mut writer, None)
        .map(drop)
        .map_err(io::Error::other)
}

/// Receives the domain whose migration the client passes on.
fn receive(stream: &UnixStream, upgrade: Upgrade, reception: &dyn Reception, by: &str) {
    let peer = if upgrade.by_descriptors {
        stream
            .set_read_timeout(Some(UNREAD))
            .and_then(|()| passed::take(stream))
    } else {
        carried(stream)
    };
    match peer {
        // The client asks for the result by another connection.
        Ok(peer) => drop(reception.receive(peer, upgrade.coming, by)),
        Err(e) => log::warn!("a domain from another host is not received: {e}"),
    }
}

/// The connection itself is what the domain comes by.
fn carried(stream: &UnixStream) -> io::Result<Peer> {
    stream.set_write_timeout(None)?;
    Ok(Peer {
        reader: stream.try_clone()?.into(),
        writer: stream.try_clone()?.into(),
    })
}

/// The service as varlink's own methods describe it.
pub(super) fn varlink_service(service: Service) -> VarlinkService {
    VarlinkService::new(
        "domainmgr",
        "The Domain Management Agent",
        env!("CARGO_PKG_VERSION"),
        env!("CARGO_PKG_REPOSITORY"),
        vec![Box::new(service)],
    )
}

/// Name of the user that has connected, and whether that is root.
fn who(stream: &UnixStream) -> io::Result<(String, bool)> {
    let uid = rustix::net::sockopt::socket_peercred(stream)?.uid.as_raw();
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    let name = user.map_or_else(|| format!("uid {uid}"), |user| user.name);
    Ok((name, uid == 0))
}

/// A client's stream, which fails once a message exceeds the limit.
pub(super) struct Capped<S> {
    stream: S,
    unfinished: usize,
}

impl<S> Capped<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            unfinished: 0,
        }
    }
}

impl<S: Read> Read for Capped<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer)?;
        self.unfinished = match buffer[..read].iter().rposition(|byte| *byte == 0) {
            Some(end) => read - end - 1,
            None => self.unfinished + read,
        };
        if self.unfinished > MESSAGE {
            let why = format!("a message of more than {MESSAGE} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(read)
    }
}
