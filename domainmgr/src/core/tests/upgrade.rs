//! An agent that reads a config differently from the agent before it: no newer wish, and no new instance for a guest.

use std::sync::Arc;

use super::harness::{Harness, KEY};
use crate::core::{Desired, Record};
use crate::eve;
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
        .reread(|origin| origin.reread(KEY, || None))
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
