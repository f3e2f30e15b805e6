//! An agent that reads a config differently from the agent before it: no newer wish, and no new instance for a guest.

use std::sync::Arc;

use ciborium::Value;

use super::harness::{Harness, KEY};
use crate::core::{Desired, Record};
use crate::frontends::eve;
use crate::frontends::wish::WishFile;
use crate::spec::Mode;

fn wish(data: &str, version: u32) -> Desired {
    Harness::desired_with(true, Mode::Pvh, "", |c| {
        c.cloud_init_user_data = eve::Bytes(data.into());
        c.cloud_init_version = version;
    })
}

/// Returns the wish as recorded by an agent that gave the guest a CD-ROM, and named the instance after the version.
fn recorded() -> Desired {
    let mut old = wish("aGk=", 0);
    let disk = &mut Arc::make_mut(old.spec.as_mut().unwrap()).disks[0];
    disk.cdrom = true;
    disk.seed.as_mut().unwrap().instance_id = Some(format!("{KEY}/1"));
    let bytes = Record {
        wish: Some(old),
        ..Record::default()
    };
    let bytes = bytes.to_bytes().unwrap();
    let record = Record::from_bytes(&bytes).unwrap();
    record
        .reread(|origin| Some(WishFile::of(origin).unwrap().reread(KEY, || None)))
        .wish
        .unwrap()
}

fn instance(wish: &Desired) -> String {
    wish.spec.as_ref().unwrap().seed().unwrap().instance()
}

#[test]
fn the_guest_of_an_older_agent_keeps_its_instance() {
    let old = recorded();
    // Also if the older agent did not know the version.
    for version in [0, 5] {
        let new = wish("aGk=", version);
        assert!(
            old.says_the_same(&new),
            "read otherwise is not wished otherwise"
        );
        let new = new.after(Some(&old), true);
        assert_eq!(instance(&new), format!("{KEY}/1"));
        let again = wish("aGk=", version).after(Some(&new), false);
        assert_eq!(instance(&again), format!("{KEY}/1"));
        // From now on the version is known.
        let later = wish("aGk=", 6).after(Some(&new), false);
        assert_eq!(instance(&later), format!("{KEY}/6"));
    }
    let other = wish("aG8=", 0);
    assert!(!old.says_the_same(&other));
    assert_ne!(instance(&other.after(Some(&old), true)), format!("{KEY}/1"));
}

/// Returns what `value`, a map, has under `key`.
fn entry<'a>(value: &'a mut Value, key: &str) -> &'a mut Value {
    let entries = value.as_map_mut().unwrap().iter_mut();
    let mut found = entries.filter(|(k, _)| k.as_text() == Some(key));
    &mut found.next().unwrap().1
}

fn keys(value: &Value) -> Vec<&str> {
    let entries = value.as_map().unwrap().iter();
    entries.map(|(k, _)| k.as_text().unwrap()).collect()
}

#[test]
fn a_record_of_an_agent_without_phases_is_understood() {
    let mut h = Harness::new();
    h.wish(Some(wish("aGk=", 0)));
    h.advance(60_000);
    assert_eq!(h.state(), "RUNNING");
    let mut record: Value = ciborium::from_reader(h.memory.as_deref().unwrap()).unwrap();
    // These fields make up the phase. Older agents read and write the same ones.
    let domain = [
        "id",
        "life",
        "memory_kib",
        "doubts",
        "name",
        "paused_by",
        "suspended",
        "started",
        "reset",
        "screen",
        "leftover",
        "spec",
        "saved",
        "restored",
        "arrival",
    ];
    assert_eq!(keys(entry(&mut record, "domain")), domain);
    for field in ["halt", "exit", "restarting", "rebuild", "ended", "vanished"] {
        assert!(keys(&record).contains(&field), "{field}");
    }
    // Older agents recorded neither the choice of running nor the version, which follow from the config.
    let old = entry(&mut record, "wish").as_map_mut().unwrap();
    let before = old.len();
    old.retain(|(k, _)| !matches!(k.as_text(), Some("run" | "version")));
    assert_eq!(old.len(), before - 2);
    let mut bytes = Vec::new();
    ciborium::into_writer(&record, &mut bytes).unwrap();
    let record = Record::from_bytes(&bytes).unwrap();
    assert!(!record.wish.as_ref().unwrap().run);
    let record = record.reread(|origin| Some(WishFile::of(origin).unwrap().reread(KEY, || None)));
    h.memory = Some(record.to_bytes().unwrap());
    let id = h.domain();
    h.restart();
    h.advance(60_000);
    assert_eq!(h.state(), "RUNNING");
    assert_eq!(h.domain(), id, "adopted, not built anew");
    assert!(record.wish.unwrap().says_the_same(&wish("aGk=", 0)));
}
