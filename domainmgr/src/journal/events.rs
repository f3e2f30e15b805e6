//! The history of all domains in the order of commits: a table with bounds.

use rusqlite::{Connection, Transaction, params};
use uuid::Uuid;

/// Maximum number of events in a page.
pub const PAGE: usize = 256;
/// Maximum number of events that are kept for one key.
const OF_KEY: i64 = 500;
/// Number of newest events that are kept, over all keys. No key can drive out the events of others with fewer.
const OF_ALL: i64 = 50_000;
/// Name of the value that holds the number of the newest event that is not kept any more.
const PRUNED: &str = "events-pruned";

/// A change in the life of a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Time of the event, in the format of RFC 3339.
    pub at: String,
    /// The domain's name.
    pub name: String,
    /// Its domid; 0 if there is no domain.
    pub domid: u32,
    /// The event in one word.
    pub what: String,
    /// Details of the event.
    pub detail: String,
}

/// A part of the events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The events, each with its number and its key.
    pub events: Vec<(i64, Uuid, Event)>,
    /// Some events between the requested number and the first of these are not kept any more.
    pub gap: bool,
}

pub(super) fn append(
    transaction: &Transaction<'_>,
    key: Uuid,
    events: &[Event],
) -> rusqlite::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let key = key.to_string();
    let mut insert = transaction.prepare_cached(
        "INSERT INTO events (at, key, name, domid, what, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for event in events {
        insert.execute(params![
            event.at,
            key,
            event.name,
            event.domid,
            event.what,
            event.detail
        ])?;
    }
    let old: Option<i64> = transaction
        .prepare_cached(
            "SELECT max(seq) FROM (
                 SELECT seq FROM (
                     SELECT seq FROM events WHERE key = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2
                 )
                 UNION ALL
                 SELECT seq FROM events WHERE seq <= (SELECT max(seq) FROM events) - ?3
             )",
        )?
        .query_row(params![key, OF_KEY, OF_ALL], |row| row.get(0))?;
    let Some(old) = old else { return Ok(()) };
    transaction
        .prepare_cached(
            "DELETE FROM events WHERE (key = ?1 AND seq <= (
                 SELECT seq FROM events WHERE key = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2
             )) OR seq <= (SELECT max(seq) FROM events) - ?3",
        )?
        .execute(params![key, OF_KEY, OF_ALL])?;
    transaction
        .prepare_cached(
            "INSERT INTO host (name, value) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET value = max(CAST(value AS INTEGER), ?2)",
        )?
        .execute(params![PRUNED, old])?;
    Ok(())
}

pub(super) fn page(
    connection: &Connection,
    after: i64,
    key: Option<Uuid>,
) -> rusqlite::Result<Page> {
    let pruned: Option<i64> = connection
        .prepare_cached("SELECT max(CAST(value AS INTEGER)) FROM host WHERE name = ?1")?
        .query_row([PRUNED], |row| row.get(0))?;
    let all = "SELECT seq, key, at, name, domid, what, detail FROM events WHERE seq > ?1 AND ?2 IS NULL ORDER BY seq \
               LIMIT ?3";
    let one = "SELECT seq, key, at, name, domid, what, detail FROM events WHERE seq > ?1 AND key = ?2 ORDER BY seq \
               LIMIT ?3";
    let mut query = connection.prepare_cached(if key.is_some() { one } else { all })?;
    let key = key.map(|key| key.to_string());
    let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
    let rows = query.query_map(params![after, key, limit], |row| {
        let key: String = row.get(1)?;
        Ok((
            row.get(0)?,
            // Only what was written by `append` is there.
            key.parse().unwrap_or_default(),
            Event {
                at: row.get(2)?,
                name: row.get(3)?,
                domid: row.get(4)?,
                what: row.get(5)?,
                detail: row.get(6)?,
            },
        ))
    })?;
    Ok(Page {
        events: rows.collect::<rusqlite::Result<_>>()?,
        gap: pruned.is_some_and(|pruned| after < pruned),
    })
}
