//! A client that may send anything, for the fuzzer.

use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crossbeam_channel::{Receiver, unbounded};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;
use varlink::ConnectionHandler;

use super::broadcast::Broadcast;
use super::connection::{Connection, Table};
use super::interface::NAME;
use super::reception::{Coming, Reception};
use super::saved_files::SavedFiles;
use super::server::{Capped, varlink_service};
use super::service::{Service, Sources};
use crate::core::{Answer, Order};
use crate::frontends::board::{Board, Worker};
use crate::frontends::eve::DomainStatus;
use crate::frontends::xl::Hosts;
use crate::host::remote::Question;
use crate::toolstack::Peer;

/// Methods that the fuzzer need not guess.
const METHODS: [&str; 28] = [
    "List", "Show", "Agent", "Metrics", "Watch", "Jobs", "Cancel", "Events", "Start", "Stop",
    "Restart", "Save", "Restore", "DumpCore", "Pause", "Unpause", "Attach", "Detach", "Insert",
    "Eject", "Set", "Migrate", "Resolve", "Forget", "Receive", "Received", "Outcome", "MayCome",
];

/// A worker that refuses every order.
#[derive(Debug)]
struct Refusing;

impl Worker for Refusing {
    fn order(&self, order: &Order, _: String) -> (u64, Receiver<Answer>) {
        let (answers, theirs) = unbounded();
        let why = format!("no {}", order.word());
        answers
            .send(Answer::Refused(why))
            .expect("the other end is here");
        (1, theirs)
    }
}

/// An agent to which no domain comes.
struct Nobody;

impl Reception for Nobody {
    fn receive(&self, _: Peer, _: Coming, _: &str) -> Result<Uuid, String> {
        Err("no".to_owned())
    }

    fn result(&self, _: Uuid) -> Result<Uuid, String> {
        Err("no".to_owned())
    }

    fn refusals(&self, _: &Question) -> Vec<String> {
        vec!["no".to_owned()]
    }

    fn fate(&self, _: Uuid) -> &'static str {
        "never"
    }
}

/// Serves a client that has sent these bytes and has left. Checks that every reply is a message.
///
/// The first byte chooses the client's user and, below [`METHODS`], a method, of which the rest are the parameters.
pub fn serve(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    let method = METHODS.get(usize::from(first >> 1));
    let message = method.map(|method| {
        let parameters = serde_json::from_slice::<Value>(rest).unwrap_or_default();
        let more = rest.len() % 2 == 0;
        let call =
            json!({"method": format!("{NAME}.{method}"), "parameters": parameters, "more": more});
        format!("{call}\0").into_bytes()
    });
    let sent = message.as_deref().unwrap_or(rest);
    let (ours, theirs) = UnixStream::pair().expect("sockets");
    drop(theirs);
    let is_root = first & 1 == 1;
    let connection = Connection::enter(ours, is_root, &Table::default()).expect("a socket");
    let service = Service {
        client: "fuzzer".to_owned(),
        is_root,
        sources: sources(),
        connection: connection.expect("the only client"),
        broadcast: Broadcast::new(),
        upgraded: Arc::default(),
    };
    let mut reader = BufReader::new(Capped::new(sent));
    let mut said = Vec::new();
    // An error ends the connection, and nothing else.
    let _ = varlink_service(service).handle(&mut reader, &mut said, None);
    for reply in said
        .split(|byte| *byte == 0)
        .filter(|reply| !reply.is_empty())
    {
        serde_json::from_slice::<Value>(reply).expect("a message");
    }
}

/// A host with one domain.
fn sources() -> Sources {
    let board = Board::default();
    let key = Uuid::from_u128(0xa);
    board.open(key, Arc::new(Refusing));
    let status = DomainStatus {
        domain_name: "a.1".to_owned(),
        display_name: "a".to_owned(),
        ..DomainStatus::default()
    };
    board.show(key, status);
    Sources {
        board: Arc::new(board),
        journal: None,
        figures: Arc::default(),
        queues: Arc::default(),
        hosts: Arc::new(Hosts::new(|| Err("no host".to_owned()))),
        reception: Arc::new(Nobody),
        saved_files: SavedFiles::new(|_| Err("no file".to_owned())),
        since: OffsetDateTime::UNIX_EPOCH,
    }
}
