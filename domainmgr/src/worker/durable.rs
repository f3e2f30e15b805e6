//! How a worker makes what it knows durable before it acts on it.

use std::time::Duration;

use crossbeam_channel::{at, select};

use super::{Run, WRITE_AGAIN};
use crate::core::{Facts, Level};
use crate::mailbox::Mail;

impl Run<'_> {
    /// Hands the record of the facts to the journal, if it says something new.
    pub(super) fn remember(&mut self, facts: &Facts) {
        let record = facts.record(self.env.records.boot());
        let bytes = match record.to_bytes() {
            Ok(bytes) => bytes,
            Err(e) => {
                log::error!(key:% = self.key; "what is known cannot be written down: {e}");
                return;
            }
        };
        let last = self.ticket.as_ref().map(|(_, bytes, _)| bytes);
        if last.or(self.memory.as_ref()) == Some(&bytes) {
            return;
        }
        let state = record.word();
        if let Some(ticket) = self.env.records.put(self.key, state, bytes.clone()) {
            self.ticket = Some((state, bytes, ticket));
        }
    }

    /// Waits until the journal has what was handed to it, however often that takes. `false`: the worker is to end first.
    pub(super) fn wait_for_journal(&mut self) -> bool {
        let mut failed = false;
        while let Some((state, bytes, ticket)) = self.ticket.take() {
            match ticket.wait() {
                Ok(()) => {
                    *self.memory = Some(bytes);
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
                    let again = self.env.records.put(self.key, state, bytes.clone());
                    self.ticket = again.map(|ticket| (state, bytes, ticket));
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

    /// Shows why nothing is done.
    fn publish_trouble(&mut self, why: &str) {
        let now = self.env.clock.now().wall;
        let text = format!("nothing is done until the journal can be written: {why}");
        if let Some(facts) = self.facts.clone().filter(Facts::publishable) {
            self.publish(&facts.faulted(text, now));
        }
    }

    /// Waits, unless the worker is to end.
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
