//! libxl (4.14 to 4.22) reads the rates and formats of a sound card with `strtok`, which keeps its
//! place in one variable for the whole process. Two threads that read cards at a time, on whatever
//! contexts, read and write each other's memory, freed or not. So they take turns.
//!
//! libxl reads cards in two places: where they are listed, and at the end of
//! `libxl_retrieve_domain_configuration`, inside whichever call then works on the context. While a
//! context has such a retrieval under way, every call that may get there takes a turn.

use std::sync::MutexGuard;

use crate::per_process::PerProcess;

static READING: PerProcess<()> = PerProcess::new(());

/// Held while libxl may be reading sound cards. No callback takes it.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    READING.lock()
}
