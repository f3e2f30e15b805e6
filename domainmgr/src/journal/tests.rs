use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::thread;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::*;
use crate::base::services::Services;

const A: Uuid = Uuid::from_u128(0xa);
const B: Uuid = Uuid::from_u128(0xb);

fn put(key: Uuid, record: &[u8]) -> Change {
    Change::Put(Entry {
        key,
        state: "running",
        record: record.to_vec(),
        events: Vec::new(),
    })
}

#[test]
fn what_was_committed_is_there_the_next_time() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::start(Store::open(dir.path()).unwrap(), &Services::new().0).unwrap();
    let tickets = [
        put(A, b"1"),
        put(B, b"2"),
        put(A, b"3"),
        Change::Remove(B, Vec::new()),
    ]
    .map(|change| journal.submit(change, Haste::Now));
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    journal
        .submit(Change::Set("config", "x".into()), Haste::Now)
        .wait()
        .unwrap();
    // As after a kill: nothing is closed.
    let copy = tempfile::tempdir().unwrap();
    for name in [FILE, "journal.db-wal"] {
        fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    let store = Store::open(copy.path()).unwrap();
    assert_eq!(store.entries().unwrap(), [(A, b"3".to_vec())]);
    assert_eq!(store.value("config").unwrap().as_deref(), Some("x"));
    assert_eq!(store.value("other").unwrap(), None);
    let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
}

#[test]
fn a_crowd_that_comes_piece_by_piece_is_written_together() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::start(Store::open(dir.path()).unwrap(), &Services::new().0).unwrap();
    let tickets: Vec<_> = (0..40)
        .map(|key| {
            thread::sleep(Duration::from_millis(10));
            journal.submit(put(Uuid::from_u128(key), b"1"), Haste::WithOthers)
        })
        .collect();
    // A change in a hurry waits for no other.
    let begin = Instant::now();
    let hurry = journal.submit(put(A, b"2"), Haste::Now);
    hurry.wait().unwrap();
    assert!(begin.elapsed() < Duration::from_millis(200));
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    let transactions = journal.transactions();
    assert!(transactions < 10, "{transactions}");
    drop(journal);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.entries().unwrap().len(), 40);
}

#[test]
fn a_torn_last_write_is_as_if_it_had_not_been() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    store.commit([put(A, b"first")].iter()).unwrap();
    let before = fs::metadata(dir.path().join("journal.db-wal"))
        .unwrap()
        .len();
    store.commit([put(A, b"second")].iter()).unwrap();
    let wal = fs::read(dir.path().join("journal.db-wal")).unwrap();
    for cut in (usize::try_from(before).unwrap()..wal.len()).step_by(97) {
        let copy = tempfile::tempdir().unwrap();
        fs::copy(dir.path().join(FILE), copy.path().join(FILE)).unwrap();
        fs::write(copy.path().join("journal.db-wal"), &wal[..cut]).unwrap();
        let store = Store::open(copy.path()).unwrap();
        assert_eq!(store.entries().unwrap(), [(A, b"first".to_vec())], "{cut}");
    }
}

#[test]
fn damage_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    fs::write(&path, vec![b'x'; 8192]).unwrap();
    let e = Store::open(dir.path()).unwrap_err();
    assert!(matches!(e, OpenError::Damaged { .. }), "{e}");
    assert!(
        e.to_string()
            .starts_with(&format!("{}: the journal is damaged: ", path.display())),
        "{e}"
    );
    set_aside(dir.path(), "then").unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    for n in 0..200_u8 {
        store
            .commit([put(Uuid::from_u128(n.into()), &[n; 500])].iter())
            .unwrap();
    }
    drop(store);
    // Something in the middle.
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0xff; 4096], 4 * 4096).unwrap();
    let e = Store::open(dir.path()).unwrap_err();
    assert!(matches!(e, OpenError::Damaged { .. }), "{e}");
    assert!(dir.path().join("journal.db.then").exists());
}

#[test]
fn a_newer_schema_is_refused_and_an_older_one_brought_up_with_a_copy() {
    let dir = tempfile::tempdir().unwrap();
    let first = "CREATE TABLE domains (key TEXT, state TEXT, record BLOB)";
    let second = "ALTER TABLE domains ADD COLUMN note TEXT DEFAULT 'none'";
    let mut old = Store::open_with(dir.path(), &[first]).unwrap();
    // Its transaction needs an index that this schema lacks; written by hand.
    let insert = format!("INSERT INTO domains VALUES ('{A}', 'x', x'31')");
    old.connection.execute(&insert, []).unwrap();
    assert!(old.commit([put(A, b"1")].iter()).is_err());
    drop(old);
    let new = Store::open_with(dir.path(), &[first, second]).unwrap();
    assert_eq!(new.entries().unwrap(), [(A, b"1".to_vec())]);
    drop(new);
    let e = Store::open_with(dir.path(), &[first]).unwrap_err();
    let words = format!(
        "{}: written by a newer domainmgr (schema 2, this one knows 1): start that one, or restore the copy it has made \
         before (journal.db.schema-1)",
        dir.path().join(FILE).display()
    );
    assert_eq!(e.to_string(), words);
    fs::rename(
        dir.path().join("journal.db.schema-1"),
        dir.path().join(FILE),
    )
    .unwrap();
    let old = Store::open_with(dir.path(), &[first]).unwrap();
    assert_eq!(old.entries().unwrap().len(), 1);
}

#[test]
fn secrets_of_what_is_removed_are_gone_from_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    store.commit([put(A, b"hunter2")].iter()).unwrap();
    store
        .commit([Change::Remove(A, Vec::new())].iter())
        .unwrap();
    store.forget_log().unwrap();
    for name in [FILE, "journal.db-wal"] {
        let text = fs::read(dir.path().join(name)).unwrap_or_default();
        assert!(!text.windows(7).any(|w| w == b"hunter2"), "{name}");
    }
}

fn event(what: &str) -> Event {
    Event {
        at: "2026-01-02T03:04:05Z".into(),
        name: "web.1".into(),
        domid: 7,
        what: what.into(),
        detail: "why".into(),
    }
}

fn with(key: Uuid, what: &str) -> Change {
    Change::Put(Entry {
        key,
        state: "running",
        record: Vec::new(),
        events: vec![event(what)],
    })
}

fn told(store: &Store, after: i64, key: Option<Uuid>) -> (Vec<String>, bool) {
    let page = store.events(after, key).unwrap();
    let words = page.events.into_iter().map(|(_, _, event)| event.what);
    (words.collect(), page.gap)
}

#[test]
fn events_are_kept_in_their_order_and_found_by_their_number() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    store
        .commit([with(A, "one"), with(B, "two"), with(A, "three")].iter())
        .unwrap();
    assert_eq!(
        told(&store, 0, None),
        (vec!["one".into(), "two".into(), "three".into()], false)
    );
    let (number, key, found) = store.events(0, None).unwrap().events.remove(1);
    assert_eq!((key, found), (B, event("two")));
    assert_eq!(told(&store, number, None).0, ["three"]);
    assert_eq!(told(&store, 0, Some(A)).0, ["one", "three"]);
    // The removal of a key is an event, and numbers are not used twice.
    store
        .commit([Change::Remove(A, vec![event("removed")])].iter())
        .unwrap();
    assert_eq!(told(&store, 0, Some(A)).0, ["one", "three", "removed"]);
    assert_eq!(store.entries().unwrap().len(), 1);
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(told(&store, 3, None).0, ["removed"]);
}

#[test]
fn one_that_has_many_events_does_not_drive_out_those_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    store.commit([with(B, "b")].iter()).unwrap();
    let many: Vec<Change> = (0..1000).map(|n| with(A, &n.to_string())).collect();
    store.commit(many.iter()).unwrap();
    let count = |key| -> i64 {
        let count = "SELECT count(*) FROM events WHERE key = ?1";
        let key = Uuid::to_string(&key);
        store
            .connection
            .query_row(count, [key], |row| row.get(0))
            .unwrap()
    };
    assert_eq!((count(A), count(B)), (500, 1));
    let (first, gap) = told(&store, 0, Some(A));
    assert_eq!((first[0].as_str(), first.len(), gap), ("500", PAGE, true));
    // A client that has seen the newest of the removed events has missed nothing.
    assert!(told(&store, 500, None).1);
    assert!(!told(&store, 501, None).1);
}
