//! Two agents, a guest that moves from one to the other, and a network between them that fails: every order in which messages
//! arrive or are lost and agents end, with a bounded number of faults.
//!
//! The decisions are those of the core itself. Only Xen, the connection and the journal are modelled (`world.rs`).

mod agent;
mod explore;
mod world;

use explore::{Found, explore};
use world::Mistake;

/// Faults in one run: cuts of the connection, ends of an agent, failures of an operation.
const FAULTS: u32 = 3;

#[test]
fn no_order_of_events_loses_the_guest_or_has_it_run_twice() {
    let Found { states, violation } = explore(FAULTS, None);
    println!("{states} states, {FAULTS} faults");
    if let Some(why) = violation {
        panic!("{why}");
    }
    assert!(states > 2_000, "{states}");
}

/// The model finds what it is for.
#[test]
fn every_mistake_is_found() {
    for mistake in Mistake::ALL {
        let Found { states, violation } = explore(FAULTS, Some(mistake));
        assert!(
            violation.is_some(),
            "{mistake:?}: not found in {states} states"
        );
    }
}
