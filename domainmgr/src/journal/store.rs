//! The file of the journal: opening it, bringing it to the present schema, and transactions.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params};
use thiserror::Error;
use uuid::Uuid;

use super::events::{self, Event, Page};
use crate::base::crash_points;

/// The name of the database in the state directory.
pub const FILE: &str = "journal.db";

/// Marks the file as a journal of this agent ("dmgr").
const APPLICATION: i32 = 0x646d_6772;

/// SQL that migrates each version of the schema to the next. The first element makes an empty file version 1.
///
/// An element never changes once released: a new version is a new element.
const STEPS: &[&str] = &[
    "
    CREATE TABLE domains (
        key TEXT PRIMARY KEY NOT NULL,
        -- For people: decisions are made from the record.
        state TEXT NOT NULL,
        record BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE host (name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
",
    "
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        key TEXT NOT NULL,
        name TEXT NOT NULL,
        domid INTEGER NOT NULL,
        what TEXT NOT NULL,
        detail TEXT NOT NULL
    );
    CREATE INDEX events_of_key ON events (key, seq);
",
    "
    -- Nothing but the number: a record may hold the wish of a file of xl's, which earlier agents do not understand.
",
];

/// The record of one key, with the events to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Uuid,
    /// The state in one word, for people who look into the file.
    pub state: &'static str,
    /// The encoded record, from which decisions are made.
    pub record: Vec<u8>,
    /// Events since the previous record.
    pub events: Vec<Event>,
}

/// A change to be made durable.
#[derive(Clone, Debug)]
pub enum Change {
    /// The record of a key replaces the one before.
    Put(Entry),
    /// The record of a key is removed. The events of its domain stay, with these last ones.
    Remove(Uuid, Vec<Event>),
    /// A value that belongs to no key.
    Set(&'static str, String),
}

/// The reason why the journal cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file is not a journal, or its content is damaged.
    #[error("{}: the journal is damaged: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Description of the damage.
        why: String,
    },
    /// A newer agent has written it.
    #[error(
        "{}: written by a newer domainmgr (schema {found}, this one knows {known}): start that one, or restore the copy \
         it has made before ({FILE}.schema-{known})",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Version of the file's schema.
        found: usize,
        /// The newest version that this agent knows.
        known: usize,
    },
    /// The file cannot be used now: the disk is full, no descriptor is left, no permission.
    #[error("{}: {why}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Error of SQLite or of the file system.
        why: String,
    },
}

/// The open journal.
#[derive(Debug)]
pub struct Store {
    pub(super) connection: Connection,
    path: PathBuf,
}

impl Store {
    /// Opens the journal in `dir`, or makes an empty one.
    ///
    /// # Errors
    /// The file is damaged, written by a newer agent, or cannot be used now.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        Self::open_with(dir, STEPS)
    }

    pub(super) fn open_with(dir: &Path, steps: &[&str]) -> Result<Self, OpenError> {
        let path = dir.join(FILE);
        let failed = |e: rusqlite::Error| classify(&path, &e);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let mut connection = Connection::open_with_flags(&path, flags).map_err(failed)?;
        // The journal holds passwords of consoles and the data for cloud-init.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(|e| {
            OpenError::Unusable {
                path: path.clone(),
                why: e.to_string(),
            }
        })?;
        // No other process may write to the file, and removed data does not stay readable in it.
        connection
            .execute_batch(
                "PRAGMA locking_mode = EXCLUSIVE;
                 PRAGMA journal_mode = WAL;
                 PRAGMA synchronous = FULL;
                 PRAGMA secure_delete = ON;",
            )
            .map_err(failed)?;
        let sound: String = connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(failed)?;
        if sound != "ok" {
            return Err(OpenError::Damaged { path, why: sound });
        }
        migrate(&mut connection, &path, steps)?;
        let mut store = Self { connection, path };
        // An agent may have been killed after removing a key and before emptying the log, which still holds the key's secrets.
        if let Err(e) = store.forget_log() {
            log::warn!("{e}");
        }
        Ok(store)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns every key with its record.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn entries(&self) -> Result<Vec<(Uuid, Vec<u8>)>, OpenError> {
        let failed = |e: rusqlite::Error| classify(&self.path, &e);
        let mut query = self
            .connection
            .prepare("SELECT key, record FROM domains ORDER BY key")
            .map_err(failed)?;
        let rows = query
            .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))
            .map_err(failed)?;
        rows.map(|row| {
            let (key, record) = row.map_err(failed)?;
            let key = key.parse().map_err(|e| OpenError::Damaged {
                path: self.path.clone(),
                why: format!("the key {key:?}: {e}"),
            })?;
            Ok((key, record))
        })
        .collect()
    }

    /// Returns a value that belongs to no key.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn value(&self, name: &str) -> Result<Option<String>, OpenError> {
        self.connection
            .query_row("SELECT value FROM host WHERE name = ?1", [name], |row| {
                row.get(0)
            })
            .optional()
            .map_err(|e| classify(&self.path, &e))
    }

    /// Commits changes as one transaction. When this returns, they survive a power cut.
    ///
    /// # Errors
    /// None of them was written.
    pub fn commit<'a>(&mut self, changes: impl Iterator<Item = &'a Change>) -> Result<(), String> {
        let work = || -> rusqlite::Result<()> {
            let transaction = self
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            for change in changes {
                match change {
                    Change::Put(Entry {
                        key,
                        state,
                        record,
                        events,
                    }) => {
                        events::append(&transaction, *key, events)?;
                        transaction
                            .prepare_cached(
                                "INSERT INTO domains (key, state, record) VALUES (?1, ?2, ?3)
                                 ON CONFLICT (key) DO UPDATE SET state = ?2, record = ?3",
                            )?
                            .execute(params![key.to_string(), state, record])?
                    }
                    Change::Remove(key, last) => {
                        events::append(&transaction, *key, last)?;
                        transaction
                            .prepare_cached("DELETE FROM domains WHERE key = ?1")?
                            .execute([key.to_string()])?
                    }
                    Change::Set(name, value) => transaction
                        .prepare_cached(
                            "INSERT INTO host (name, value) VALUES (?1, ?2)
                             ON CONFLICT (name) DO UPDATE SET value = ?2",
                        )?
                        .execute(params![name, value])?,
                };
            }
            transaction.commit()
        };
        work().map_err(|e| format!("{}: {e}", self.path.display()))
    }

    /// Returns the first events after the one with the number `after`: of `key`, or of all keys.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn events(&self, after: i64, key: Option<Uuid>) -> Result<Page, String> {
        let page = events::page(&self.connection, after, key);
        page.map_err(|e| format!("{}: {e}", self.path.display()))
    }

    /// Empties the write-ahead log, which still contains removed data.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn forget_log(&mut self) -> Result<(), String> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(|e| format!("{}: {e}", self.path.display()))
    }
}

fn migrate(connection: &mut Connection, path: &Path, steps: &[&str]) -> Result<(), OpenError> {
    let failed = |e: rusqlite::Error| classify(path, &e);
    let number = |connection: &Connection, pragma: &str| -> Result<i32, OpenError> {
        connection
            .query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))
            .map_err(failed)
    };
    let application = number(connection, "application_id")?;
    let version = number(connection, "user_version")?;
    let tables: i32 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    let fresh = version == 0 && tables == 0;
    if !fresh && application != APPLICATION {
        return Err(OpenError::Damaged {
            path: path.to_owned(),
            why: "a database of another program".to_owned(),
        });
    }
    let found = usize::try_from(version).unwrap_or(0);
    if found > steps.len() {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found,
            known: steps.len(),
        });
    }
    if found == steps.len() {
        return Ok(());
    }
    if !fresh {
        copy(connection, path, found)?;
    }
    crash_points::point("before the schema is changed");
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Exclusive)
        .map_err(failed)?;
    for step in &steps[found..] {
        transaction.execute_batch(step).map_err(failed)?;
    }
    transaction
        .execute_batch(&format!(
            "PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {}",
            steps.len()
        ))
        .map_err(failed)?;
    transaction.commit().map_err(failed)?;
    crash_points::point("after the schema was changed");
    Ok(())
}

/// Keeps the file as it was before its schema changes, for a way back to the older agent.
fn copy(connection: &Connection, path: &Path, version: usize) -> Result<(), OpenError> {
    let copy = path.with_file_name(format!("{FILE}.schema-{version}"));
    let failed = |e: &dyn std::fmt::Display| OpenError::Unusable {
        path: copy.clone(),
        why: e.to_string(),
    };
    match fs::remove_file(&copy) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(&e)),
        _ => {}
    }
    let name = copy
        .to_str()
        .ok_or_else(|| failed(&"the path is not UTF-8"))?;
    connection
        .execute("VACUUM INTO ?1", [name])
        .map_err(|e| failed(&e))?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).map_err(|e| failed(&e))
}

fn classify(path: &Path, e: &rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    let why = e.to_string();
    match e.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            OpenError::Damaged { path, why }
        }
        Some(_) => OpenError::Unusable { path, why },
        // A value of another type than was written.
        None => OpenError::Damaged { path, why },
    }
}

/// Renames an unusable journal to a name that contains the time, `stamp`.
///
/// # Errors
/// It cannot be renamed.
pub fn set_aside(dir: &Path, stamp: &str) -> std::io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let from = dir.join(format!("{FILE}{suffix}"));
        let to = dir.join(format!("{FILE}.{stamp}{suffix}"));
        match std::fs::rename(&from, &to) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}
