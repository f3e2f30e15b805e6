//! One uninterrupted run of a worker.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crossbeam_channel::{at, never, select};
use uuid::Uuid;

use super::events;
use super::orders::Open;
use super::shared::Shared;
use super::status_file::to_text;
use super::transit::{Received, Sent};
use crate::agent::env::Env;
use crate::agent::records::Bytes;
use crate::base::mailbox::{Inbox, Mail, Mailbox};
use crate::base::store;
use crate::core::{self, Effect, Facts, Input, Landed, Level, Outcome, Record, Time, abort};
use crate::frontends::inputs::Reading;
use crate::frontends::wish::WishFile;
use crate::journal::{Entry, Event, Ticket};
use crate::toolstack::{DomainId, Session, Wake, Watch};

/// Pause before a DomainStatus or a record that could not be written is written again.
pub(super) const WRITE_AGAIN: Duration = Duration::from_secs(5);

/// Pause before another attempt to watch a domain that could not be watched.
const WATCH_AGAIN: Duration = Duration::from_secs(5);

pub(super) enum End {
    Finished,
    Stopped,
}

/// Returns the facts that a worker starts from.
pub(super) fn remembered(env: &Env, key: Uuid, memory: Option<&Bytes>) -> Facts {
    let now = env.clock.now();
    let settings = env
        .settings
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let record = memory.map(|bytes| Record::from_bytes(bytes));
    let facts = match record {
        Some(Ok(record)) => {
            let record = record.reread(|origin| {
                let file = WishFile::of(origin).ok()?;
                Some(file.reread(key, || env.inputs.host()))
            });
            Facts::recover(now, key, settings, record, env.records.boot())
        }
        Some(Err(e)) => {
            // Every record was read when the journal was opened.
            log::error!(key:% = key; "its record cannot be read: {e}");
            Facts::new(key, settings).hands_off(e, now.wall)
        }
        None => Facts::new(key, settings),
    };
    match env.records.damage() {
        Some(why) => facts.hands_off(why.to_owned(), now.wall),
        None => facts,
    }
}

/// One uninterrupted run of a worker.
pub(super) struct Run<'a> {
    pub(super) env: &'a Env,
    pub(super) key: Uuid,
    pub(super) inbox: &'a Inbox,
    pub(super) mailbox: &'a Mailbox,
    pub(super) shared: &'a Arc<Shared>,
    pub(super) facts: Option<Facts>,
    pub(super) session: Option<Box<dyn Session>>,
    pub(super) watch: Option<Box<dyn Watch>>,
    /// A domain that could not be watched, and the time of the next attempt.
    pub(super) unwatched: Option<(DomainId, Time)>,
    pub(super) published: Option<Vec<u8>>,
    pub(super) settled: bool,
    pub(super) wake: Option<Time>,
    /// Time at which the DomainConfig is read again without a notification.
    pub(super) reread: Option<Time>,
    /// Orders that have not had their last answer.
    pub(super) orders: Open,
    /// Answers that wait for the journal.
    pub(super) unsaid: Vec<(u64, core::Answer)>,
    /// The record that is certain to be in the journal.
    pub(super) memory: &'a mut Option<Bytes>,
    /// An entry that is on its way to the journal.
    pub(super) ticket: Option<(Entry, Ticket)>,
    /// A guest that was sent to another host and not given away.
    pub(super) sent: Option<Sent>,
    /// A domain that came from another host and does not run yet.
    pub(super) landing: Option<Received>,
    /// Knowledge that other threads have of a domain that came from another host.
    pub(super) arrived: Option<(Uuid, Landed)>,
    /// Events since the last record that was handed to the journal.
    pub(super) events: Vec<Event>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        env: &'a Env,
        key: Uuid,
        inbox: &'a Inbox,
        mailbox: &'a Mailbox,
        shared: &'a Arc<Shared>,
        memory: &'a mut Option<Bytes>,
        fault: Option<String>,
    ) -> Self {
        let mut facts = remembered(env, key, memory.as_ref());
        if let Some(text) = fault {
            facts = facts.faulted(text, env.clock.now().wall);
        }
        Self {
            env,
            key,
            inbox,
            mailbox,
            shared,
            facts: Some(facts),
            session: None,
            watch: None,
            unwatched: None,
            // A status with the same text is not written again.
            published: store::read(&env.dirs.status_of(key)).ok(),
            settled: false,
            wake: None,
            reread: None,
            orders: Open::default(),
            unsaid: Vec::new(),
            memory,
            sent: None,
            landing: None,
            arrived: None,
            events: Vec::new(),
            ticket: None,
        }
    }

    /// Handles everything that has come. Returns the end of the worker, if it has come to it.
    pub(super) fn turn(&mut self) -> Option<End> {
        loop {
            let mut mail = self.inbox.take();
            if mail.has(Mail::STOP) {
                return Some(End::Stopped);
            }
            if self
                .reread
                .is_some_and(|at| at <= self.env.clock.now().mono)
            {
                mail = mail.and(Mail::CONFIG);
            }
            if let Some((id, _)) = self
                .unwatched
                .filter(|(_, at)| *at <= self.env.clock.now().mono)
            {
                self.watch(id);
                // Events in the meantime were not reported.
                mail = mail.and(Mail::HINT);
            }
            let inputs = self.read(mail);
            if inputs.is_empty() && self.finish_steps(Input::Timer) {
                return Some(End::Finished);
            }
            for input in inputs {
                if self.finish_steps(input) {
                    return Some(End::Finished);
                }
            }
            self.say_belief();
            // An idle worker keeps no connection.
            self.end_migration();
            self.session = None;
            if self.inbox.peek() == Mail::NONE {
                return None;
            }
        }
    }

    /// Waits for mail, or for the next thing that is due.
    pub(super) fn sleep(&self) {
        let unsaid = self.published.is_none();
        let again = (unsaid && self.facts.as_ref().is_some_and(Facts::publishable))
            .then(|| self.env.clock.now().mono + WRITE_AGAIN);
        let watch = self.unwatched.map(|(_, at)| at);
        let timer = [self.wake, self.reread, again, watch]
            .into_iter()
            .flatten()
            .min()
            .map_or_else(never, |t| at(self.env.clock.instant(t)));
        select! {
            recv(self.inbox.ready()) -> _ => {}
            recv(timer) -> _ => {}
        }
    }

    pub(super) fn say_belief(&self) {
        let belief = self.facts.as_ref().map(Facts::belief).unwrap_or_default();
        self.shared.believe(belief);
    }

    /// Returns the inputs that the mail leads to, settings and config first.
    pub(super) fn read(&mut self, mail: Mail) -> Vec<Input> {
        let mut inputs = Vec::new();
        if mail.has(Mail::SETTINGS) {
            let settings = self
                .env
                .settings
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            inputs.push(Input::Settings(settings.clone()));
        }
        if mail.has(Mail::CONFIG) {
            let now = self.env.clock.now().mono;
            match self.env.inputs.read(self.key, now) {
                Reading::Wish(wish) => {
                    self.reread = None;
                    inputs.push(Input::Wish(wish));
                }
                Reading::Later(pause) => self.reread = Some(now + pause),
            }
        }
        if mail.has(Mail::ORDER) {
            inputs.extend(self.orders.take(self.shared).map(Input::Order));
        }
        if mail.has(Mail::FREED) {
            inputs.push(Input::Freed);
        }
        if mail.has(Mail::RESYNC) {
            inputs.push(Input::Resync);
        } else if mail.has(Mail::HINT) {
            inputs.push(Input::Hint);
        }
        if mail.has(Mail::DUMP) {
            let text = self
                .facts
                .as_ref()
                .map(|f| crate::frontends::status::of(core::view(f)))
                .map(|s| to_text(&s));
            if let Some(Ok(text)) = text {
                log::info!(key:% = self.key; "{}", String::from_utf8_lossy(&text));
            }
        }
        inputs
    }

    /// Steps until there is nothing left to run. Returns true if the worker has come to its end.
    pub(super) fn finish_steps(&mut self, input: Input) -> bool {
        let mut input = input;
        loop {
            let Some(facts) = self.facts.take() else {
                return true;
            };
            let (facts, effects) = core::step(self.env.clock.now(), facts, input);
            let finish = effects.contains(&Effect::Finish);
            self.note_events(&effects);
            let facts = self.facts.insert(facts).clone();
            if !finish && !self.record_and_publish(&facts) {
                return false;
            }
            // Whoever has an answer may order the start of the next domain, which has to know of this one.
            let starts = facts.is_starting();
            if facts.publishable() && starts {
                self.show_turn(&facts);
            }
            for (id, answer) in std::mem::take(&mut self.unsaid) {
                self.orders.answer(id, answer);
            }
            let mut to_run = None;
            for effect in effects {
                match effect {
                    Effect::Note(level, text) => self.say(level, &text),
                    // The event is in the journal by now.
                    Effect::Event(_) => {}
                    Effect::Answer(id, answer) => self.orders.answer(id, answer),
                    Effect::Watch(id) => self.watch(id),
                    Effect::Unwatch => (self.watch, self.unwatched) = (None, None),
                    Effect::Wake(at) => self.wake = at,
                    Effect::Run(op, deadline) => to_run = Some((op, deadline)),
                    Effect::Finish => return self.clean_up(),
                }
            }
            // Those that wait for it may begin at once, so whatever there is to tell of it has been told before.
            if facts.publishable() && !starts {
                self.show_turn(&facts);
            }
            let Some((op, deadline)) = to_run else {
                return false;
            };
            let outcome = self.execute(&op, deadline);
            if matches!(outcome, Outcome::Disks(_) | Outcome::Ended(_)) {
                self.env.register.wake();
            }
            // Mail that arrived meanwhile counts already for the next step.
            let mail = self.inbox.take();
            if mail.has(Mail::STOP) {
                // Put back for the caller: nothing is begun any more.
                self.mailbox.post(mail);
                return false;
            }
            for early in self.read(mail) {
                self.step_during_operation(early);
            }
            input = Input::Done(outcome);
        }
    }

    /// Writes the facts to the journal, and then publishes them. Returns false if the journal does not have them.
    ///
    /// Nothing is published or begun before the facts that it follows from are in the journal. The host may go down now, and
    /// the recorded facts are then all that tells whether a domain may be built again.
    fn record_and_publish(&mut self, facts: &Facts) -> bool {
        self.remember(facts);
        if !self.wait_for_journal() {
            return false;
        }
        self.note_arrival(facts);
        if facts.publishable() {
            self.publish(facts);
        }
        true
    }

    /// Steps with an input that arrived during an operation whose result the core does not have yet.
    fn step_during_operation(&mut self, input: Input) {
        let now = self.env.clock.now();
        let Some(facts) = self.facts.take() else {
            return;
        };
        let (facts, effects) = core::step(now, facts, input);
        self.facts = Some(facts);
        self.note_events(&effects);
        for effect in effects {
            // With an operation outstanding, there are no other effects.
            match effect {
                Effect::Note(level, text) => self.say(level, &text),
                // An order is answered as accepted only once it is in the journal.
                Effect::Answer(id, answer) => self.unsaid.push((id, answer)),
                _ => {}
            }
        }
    }

    /// Keeps the events until they are handed to the journal, with the record that they belong to.
    pub(super) fn note_events(&mut self, effects: &[Effect]) {
        let events = effects.iter().filter_map(|effect| match effect {
            Effect::Event(event) => Some(events::row(event)),
            _ => None,
        });
        self.events.extend(events);
    }

    pub(super) fn say(&self, level: Level, text: &str) {
        let level = match level {
            Level::Info => log::Level::Info,
            Level::Warn => log::Level::Warn,
        };
        log::log!(level, key:% = self.key; "{text}");
    }

    pub(super) fn watch(&mut self, id: DomainId) {
        let mailbox = self.mailbox.clone();
        let shared = Arc::clone(self.shared);
        let wake: Wake = Arc::new(move || {
            mailbox.post(Mail::HINT);
            shared.abort_if(|running| abort::on_hint(&running.op));
        });
        self.unwatched = None;
        match self.env.toolstack.watch(id, wake) {
            Ok(watch) => self.watch = Some(watch),
            // The resync of the supervisor still notices changes, only later.
            Err(e) => {
                let pause = WATCH_AGAIN.as_secs();
                log::error!(key:% = self.key, domid:% = id; "cannot be watched, next try in {pause} s: {e}");
                self.unwatched = Some((id, self.env.clock.now().mono + WATCH_AGAIN));
            }
        }
    }
}
