//! Durable facts: a worker records its facts in the journal before it acts on them.

use std::time::Duration;

use crossbeam_channel::{at, select};

use super::run::{Run, WRITE_AGAIN};
use crate::base::mailbox::Mail;
use crate::core::{Facts, Level};
use crate::journal::{Entry, Haste};

impl Run<'_> {
    /// Hands the record of the facts to the journal, if the record has changed.
    pub(super) fn remember(&mut self, facts: &Facts) {
        let record = facts.record(self.env.records.boot());
        let bytes = match record.to_bytes() {
            Ok(bytes) => bytes,
            Err(e) => {
                log::error!(key:% = self.key; "what is known cannot be written down: {e}");
                return;
            }
        };
        let last = self.ticket.as_ref().map(|(entry, _)| &entry.record);
        if last.or(self.memory.as_ref()) == Some(&bytes) {
            return;
        }
        let events = std::mem::take(&mut self.events);
        let haste = if facts.is_coming_up() && self.env.turns.is_crowded() {
            Haste::WithOthers
        } else {
            Haste::Now
        };
        let entry = Entry {
            key: self.key,
            state: record.word(),
            record: bytes,
            events,
        };
        self.submit(entry, haste);
    }

    /// Hands an entry to the journal, if there is a journal.
    fn submit(&mut self, entry: Entry, haste: Haste) {
        let ticket = self.env.records.put(entry.clone(), haste);
        self.ticket = ticket.map(|ticket| (entry, ticket));
    }

    /// Waits until the entry is in the journal, however many attempts that takes. Returns false if the worker is to end first.
    pub(super) fn wait_for_journal(&mut self) -> bool {
        let mut failed = false;
        while let Some((entry, ticket)) = self.ticket.take() {
            match ticket.wait() {
                Ok(()) => {
                    *self.memory = Some(entry.record);
                    if failed {
                        log::info!(key:% = self.key; "the journal can be written again");
                    }
                }
                Err(e) => {
                    if !std::mem::replace(&mut failed, true) {
                        self.say(
                            Level::Warn,
                            &format!("nothing is done until the journal can be written: {e}"),
                        );
                        self.publish_trouble(&e);
                    }
                    if !self.pause(WRITE_AGAIN) {
                        return false;
                    }
                    self.submit(entry, Haste::Now);
                }
            }
        }
        if failed {
            if let Some(facts) = self.facts.clone().filter(Facts::publishable) {
                self.publish(&facts);
            }
        }
        true
    }

    /// Publishes the reason why nothing is done.
    fn publish_trouble(&mut self, why: &str) {
        let now = self.env.clock.now().wall;
        let text = format!("nothing is done until the journal can be written: {why}");
        if let Some(facts) = self.facts.clone().filter(Facts::publishable) {
            self.publish(&facts.faulted(text, now));
        }
    }

    /// Waits for `span`. Returns false if the worker is to end.
    pub(super) fn pause(&self, span: Duration) -> bool {
        let over = at(self.env.clock.instant(self.env.clock.now().mono + span));
        loop {
            if self.inbox.peek().has(Mail::STOP) {
                return false;
            }
            select! {
                recv(self.inbox.ready()) -> _ => {}
                recv(over) -> _ => return true,
            }
        }
    }
}
