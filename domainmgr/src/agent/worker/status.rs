//! Publishes the DomainStatus of a domain, and whatever else follows from its facts.

use std::path::Path;

use uuid::Uuid;

use super::run::{Run, remembered};
use super::status_file::to_text;
use crate::agent::env::{Env, Report};
use crate::agent::records::{self, Bytes};
use crate::agent::turns::Start;
use crate::base::store;
use crate::core::{self, Facts};
use crate::frontends::eve::DomainStatus;
use crate::frontends::metrics::Measured;
use crate::frontends::status;

fn write_status(path: &Path, status: &DomainStatus) -> std::io::Result<()> {
    store::publish(path, &to_text(status)?)
}

pub(super) fn publish_fault(env: &Env, key: Uuid, memory: Option<&Bytes>, text: &str) {
    let path = env.dirs.status_of(key);
    let facts = remembered(env, key, memory).faulted(text.to_owned(), env.clock.now().wall);
    if let Err(e) = write_status(&path, &status::of(core::view(&facts))) {
        log::error!(key:% = key; "{}: {e}", path.display());
    }
}

impl Run<'_> {
    /// Releases the things that the host has only once.
    pub(super) fn disown(&self) {
        if self.env.owners.release(self.key) {
            // If nobody listens, the agent is ending anyway.
            let _ = self.env.reports.send(Report::Freed);
        }
    }

    /// Lets others know of a domain that comes from another host, as the journal has it.
    pub(super) fn note_arrival(&mut self, facts: &Facts) {
        let now = facts.arrived();
        let before = std::mem::replace(&mut self.arrived, now);
        if let Some(text) = self.env.arrivals.note(before, now) {
            // The record says the same for as long as there is one.
            drop(self.env.records.set(records::ARRIVED, text));
        }
    }

    pub(super) fn publish(&mut self, facts: &Facts) {
        let mut status = status::of(core::view(facts));
        if facts.owns() {
            if let Some((listen, display)) = facts.screen() {
                self.env.owners.shows(self.key, listen, display);
            }
            status.warnings.extend(self.env.owners.warnings(self.key));
        } else {
            self.disown();
        }
        // The copies are registered before anything is done with them.
        self.env
            .register
            .set(self.key, facts.copies_needed(), facts.copies_made());
        self.env.metrics.set(
            self.key,
            Measured {
                version: status.uuid_and_version.version.clone(),
                domid: status.domain_id,
                activated: status.activated,
            },
        );
        let path = self.env.dirs.status_of(self.key);
        let text = match to_text(&status) {
            Ok(text) => text,
            Err(e) => {
                log::error!(key:% = self.key; "{}: {e}", path.display());
                return;
            }
        };
        if self.published.as_ref() != Some(&text) {
            match store::publish(&path, &text) {
                Ok(()) => {
                    log::debug!(key:% = self.key; "{} {}", status.state_name, status.domain_id);
                    self.published = Some(text);
                }
                Err(e) => {
                    self.published = None;
                    log::error!(key:% = self.key; "{}: {e}", path.display());
                }
            }
        }
        if !self.settled && !status.pending_add {
            self.settled = true;
            let _ = self.env.reports.send(Report::Settled(self.key));
        }
        self.env.board.show(self.key, status);
    }

    /// Shows the other domains whether this one is about to start.
    pub(super) fn show_turn(&self, facts: &Facts) {
        let start = facts.is_starting().then(|| {
            let status = status::of(core::view(facts));
            Start {
                names: vec![
                    status.domain_name,
                    status.display_name,
                    status.uuid_and_version.uuid,
                ],
                priority: status.priority,
                after: status.after,
            }
        });
        self.env.turns.show(self.key, start);
    }
}
