//! One thread per key: takes in what happened, asks the core what to do, does it, and publishes what became of it.

mod durable;
mod operations;
#[cfg(test)]
mod tests;
mod written;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Sender, at, never, select};
use uuid::Uuid;

use crate::adapters::Adapters;
use crate::clock::Clock;
use crate::cloudinit;
use crate::core::{self, Belief, Effect, Facts, Input, Level, Op, Outcome, Record, Time, abort};
use crate::crash;
use crate::dirs::Dirs;
use crate::disks;
use crate::disks::keeper::Register;
use crate::eve::inputs::{Inputs, Reading};
use crate::eve::{self, DomainStatus};
use crate::journal::Ticket;
use crate::mailbox::{Inbox, Mail, Mailbox, mailbox};
use crate::metrics::{self, Measured};
use crate::records::{Bytes, Records};
use crate::services::panic_text;
use crate::settings::Settings;
use crate::store::{self, ReadError};
use crate::toolstack::{AbortToken, DomainId, Session, Toolstack, Wake, Watch};

/// When a DomainStatus or a record is written again that could not be.
const WRITE_AGAIN: Duration = Duration::from_secs(5);

/// When a domain that cannot be watched is tried again.
const WATCH_AGAIN: Duration = Duration::from_secs(5);

/// What a worker thread's stack may take.
pub const STACK: usize = 256 << 10;

/// What all workers share.
pub struct Env {
    /// Xen.
    pub toolstack: Arc<dyn Toolstack>,
    /// Time.
    pub clock: Clock,
    /// Files.
    pub dirs: Dirs,
    /// Settings.
    pub settings: RwLock<Settings>,
    /// Bytes per second that a copy may make, in a simulation.
    pub copy_rate: Option<u64>,
    /// Who uses which copy of an image.
    pub register: Register,
    /// Whose figures are wanted.
    pub metrics: metrics::Table,
    /// Adapters of the host.
    pub adapters: Adapters,
    /// DomainConfig files.
    pub inputs: Inputs,
    /// What is remembered of each key.
    pub records: Records,
    /// The supervisor's ear.
    pub reports: Sender<Report>,
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Env")
            .field("dirs", &self.dirs)
            .finish_non_exhaustive()
    }
}

/// What a worker tells the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// It has published for the first time.
    Settled(Uuid),
    /// It has ended: its key is gone, or it was told to stop.
    Finished(Uuid),
    /// Adapters that were refused to a worker may be had now.
    Adapters,
}

#[derive(Default)]
struct Shared {
    running: Mutex<Option<(Op, AbortToken)>>,
    belief: Mutex<Belief>,
}

impl Shared {
    fn running(&self) -> MutexGuard<'_, Option<(Op, AbortToken)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn abort_if(&self, rule: impl FnOnce(&Op) -> bool) {
        let token = match &*self.running() {
            Some((op, token)) if rule(op) => token.clone(),
            _ => return,
        };
        token.abort();
    }
}

/// A running worker, as the supervisor sees it.
pub struct Worker {
    mailbox: Mailbox,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

impl Worker {
    /// Starts the worker of `key`.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(env: Arc<Env>, key: Uuid) -> std::io::Result<Self> {
        let (mailbox, inbox) = mailbox();
        let shared = Arc::new(Shared::default());
        mailbox.post(Mail::CONFIG);
        let theirs = (mailbox.clone(), Arc::clone(&shared));
        // Names of threads have 15 bytes.
        let name = format!("dom-{}", &key.to_string()[..8]);
        let thread = thread::Builder::new()
            .name(name)
            .stack_size(STACK)
            .spawn(move || {
                let reports = env.reports.clone();
                live(&env, key, &inbox, &theirs.0, &theirs.1);
                // Nobody listening: the agent is ending anyway.
                let _ = reports.send(Report::Finished(key));
            })?;
        Ok(Self {
            mailbox,
            shared,
            thread: Some(thread),
        })
    }

    /// Tells it to look at something again. Never blocks.
    pub fn post(&self, mail: Mail) {
        self.mailbox.post(mail);
    }

    /// Tells it that its DomainConfig changed, and ends what it is doing if the new wish makes that pointless.
    pub fn config_changed(&self, env: &Env, key: Uuid) {
        self.post(Mail::CONFIG);
        let busy = self.shared.running().is_some();
        if busy {
            if let Reading::Wish(wish) = env.inputs.read(key, env.clock.now().mono) {
                self.shared.abort_if(|op| abort::on_wish(op, &wish));
            }
        }
    }

    /// Tells it to end, leaving the domain as it is.
    pub fn stop(&self) {
        self.post(Mail::STOP);
        self.shared.abort_if(abort::on_stop);
    }

    /// What it believes Xen to have under its key; `None` while it is finding out or changing that.
    #[must_use]
    pub fn belief(&self) -> Option<Belief> {
        if self.shared.running().is_some() {
            return None;
        }
        let belief = self.shared.belief.lock();
        Some(belief.unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Waits for its end, after it has said that it comes.
    pub fn join(mut self) {
        if let Some(thread) = self.thread.take() {
            // It catches its own panics.
            let _ = thread.join();
        }
    }

    /// Whether its thread has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

enum End {
    Finished,
    Stopped,
}

/// A worker's whole life, through every panic.
fn live(env: &Arc<Env>, key: Uuid, inbox: &Inbox, mailbox: &Mailbox, shared: &Arc<Shared>) {
    let mut fault = None;
    let mut panics = 0;
    let mut memory = env.records.take(key);
    loop {
        let known = fault.take();
        let run = AssertUnwindSafe(|| {
            Run::new(env, key, inbox, mailbox, shared, &mut memory, known).run()
        });
        let payload = match catch_unwind(run) {
            Ok(End::Finished | End::Stopped) => return,
            Err(payload) => payload,
        };
        *shared.running() = None;
        let text = format!("internal error: {}", panic_text(payload.as_ref()));
        log::error!(key:% = key; "{text}; starting over");
        publish_fault(env, key, memory.as_ref(), &text);
        fault = Some(text);
        // Not at once, lest it does nothing else.
        let pause = Duration::from_secs(5 << panics.min(4));
        panics += 1;
        let over = at(env.clock.instant(env.clock.now().mono + pause));
        loop {
            select! {
                recv(inbox.ready()) -> _ => {
                    if inbox.peek().has(Mail::STOP) {
                        return;
                    }
                    if inbox.peek().has(Mail::CONFIG) {
                        break;
                    }
                }
                recv(over) -> _ => break,
            }
        }
        mailbox.post(Mail::CONFIG);
    }
}

fn publish_fault(env: &Env, key: Uuid, memory: Option<&Bytes>, text: &str) {
    let path = env.dirs.status_of(key);
    let facts = remembered(env, key, memory).faulted(text.to_owned(), env.clock.now().wall);
    if let Err(e) = write_status(&path, &core::view(&facts)) {
        log::error!(key:% = key; "{}: {e}", path.display());
    }
}

/// The facts that a worker starts from.
fn remembered(env: &Env, key: Uuid, memory: Option<&Bytes>) -> Facts {
    let now = env.clock.now();
    let settings = env
        .settings
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let record = memory.map(|bytes| Record::from_bytes(bytes));
    let facts = match record {
        Some(Ok(record)) => Facts::recover(now, key, settings, record, env.records.boot()),
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

/// Reads a DomainStatus; `None` if there is none.
///
/// # Errors
/// There is one, and it cannot be read: why.
pub fn read_status(path: &Path) -> Result<Option<DomainStatus>, String> {
    match store::read(path) {
        Ok(text) => eve::parse(&text).map(Some).map_err(|e| e.to_string()),
        Err(ReadError::Gone) => Ok(None),
        Err(e) => Err(e.to_string()),
    }
}

fn to_text(status: &DomainStatus) -> std::io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(status)?;
    text.push(b'\n');
    Ok(text)
}

fn write_status(path: &Path, status: &DomainStatus) -> std::io::Result<()> {
    store::write(path, &to_text(status)?)
}

/// One uninterrupted run of a worker.
struct Run<'a> {
    env: &'a Env,
    key: Uuid,
    inbox: &'a Inbox,
    mailbox: &'a Mailbox,
    shared: &'a Arc<Shared>,
    facts: Option<Facts>,
    session: Option<Box<dyn Session>>,
    watch: Option<Box<dyn Watch>>,
    /// A domain that could not be watched, and when that is tried again.
    unwatched: Option<(DomainId, Time)>,
    published: Option<Vec<u8>>,
    settled: bool,
    wake: Option<Time>,
    /// When the DomainConfig is read again without a reason.
    reread: Option<Time>,
    /// The record that the journal has for certain.
    memory: &'a mut Option<Bytes>,
    /// One that is on its way there.
    ticket: Option<(&'static str, Bytes, Ticket)>,
}

impl<'a> Run<'a> {
    fn new(
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
            // Not written again if it says the same.
            published: store::read(&env.dirs.status_of(key)).ok(),
            settled: false,
            wake: None,
            reread: None,
            memory,
            ticket: None,
        }
    }

    fn run(mut self) -> End {
        loop {
            let mut mail = self.inbox.take();
            if mail.has(Mail::STOP) {
                return End::Stopped;
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
                // Events in the meantime were reported to nobody.
                mail = mail.and(Mail::HINT);
            }
            let inputs = self.read(mail);
            if inputs.is_empty() && self.finish_steps(Input::Timer) {
                return End::Finished;
            }
            for input in inputs {
                if self.finish_steps(input) {
                    return End::Finished;
                }
            }
            self.say_belief();
            // An idle worker keeps no connection.
            self.session = None;
            if self.inbox.peek() != Mail::NONE {
                continue;
            }
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
    }

    fn say_belief(&self) {
        let belief = self.facts.as_ref().map(Facts::belief).unwrap_or_default();
        *self
            .shared
            .belief
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = belief;
    }

    /// What the mail makes to be looked at, config first.
    fn read(&mut self, mail: Mail) -> Vec<Input> {
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
        if mail.has(Mail::ADAPTERS) {
            inputs.push(Input::Adapters);
        }
        if mail.has(Mail::RESYNC) {
            inputs.push(Input::Resync);
        } else if mail.has(Mail::HINT) {
            inputs.push(Input::Hint);
        }
        if mail.has(Mail::DUMP) {
            let text = self.facts.as_ref().map(core::view).map(|s| to_text(&s));
            if let Some(Ok(text)) = text {
                log::info!(key:% = self.key; "{}", String::from_utf8_lossy(&text));
            }
        }
        inputs
    }

    /// Steps until there is nothing left to run. Whether the worker has come to its end.
    fn finish_steps(&mut self, input: Input) -> bool {
        let mut input = input;
        loop {
            let Some(facts) = self.facts.take() else {
                return true;
            };
            let (facts, effects) = core::step(self.env.clock.now(), facts, input);
            let finish = effects.contains(&Effect::Finish);
            let facts = self.facts.insert(facts).clone();
            if !finish {
                // Nothing is shown or begun before what it follows from is known for good: the host may go down now,
                // and what was seen of a domain is then all that tells whether it may be built again.
                self.remember(&facts);
                if !self.wait_for_journal() {
                    return false;
                }
                if facts.publishable() {
                    self.publish(&facts);
                }
            }
            let mut outcome = None;
            for effect in effects {
                match effect {
                    Effect::Note(level, text) => self.say(level, &text),
                    Effect::Watch(id) => self.watch(id),
                    Effect::Unwatch => (self.watch, self.unwatched) = (None, None),
                    Effect::Wake(at) => self.wake = at,
                    Effect::Run(op, deadline) => outcome = Some(self.execute(&op, deadline)),
                    Effect::Finish => return self.clean_up(),
                }
            }
            let Some(outcome) = outcome else {
                return false;
            };
            if matches!(outcome, Outcome::Disks(_) | Outcome::Ended(_)) {
                self.env.register.wake();
            }
            // What was said meanwhile counts already for what follows.
            let mail = self.inbox.take();
            if mail.has(Mail::STOP) {
                // For the one who called: nothing is begun any more.
                self.mailbox.post(mail);
                return false;
            }
            for early in self.read(mail) {
                let now = self.env.clock.now();
                if let Some(facts) = self.facts.take() {
                    let (facts, effects) = core::step(now, facts, early);
                    self.facts = Some(facts);
                    for effect in effects {
                        // With an operation outstanding there are no others.
                        if let Effect::Note(level, text) = effect {
                            self.say(level, &text);
                        }
                    }
                }
            }
            input = Input::Done(outcome);
        }
    }

    fn say(&self, level: Level, text: &str) {
        let level = match level {
            Level::Info => log::Level::Info,
            Level::Warn => log::Level::Warn,
        };
        log::log!(level, key:% = self.key; "{text}");
    }

    fn publish(&mut self, facts: &Facts) {
        let status = core::view(facts);
        // Before anything is done with them.
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
            match store::write(&path, &text) {
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
    }

    fn watch(&mut self, id: DomainId) {
        let mailbox = self.mailbox.clone();
        let shared = Arc::clone(self.shared);
        let wake: Wake = Arc::new(move || {
            mailbox.post(Mail::HINT);
            shared.abort_if(abort::on_hint);
        });
        self.unwatched = None;
        match self.env.toolstack.watch(id, wake) {
            Ok(watch) => self.watch = Some(watch),
            // The resync of the supervisor still sees what happens, only later.
            Err(e) => {
                let pause = WATCH_AGAIN.as_secs();
                log::error!(key:% = self.key, domid:% = id; "cannot be watched, next try in {pause} s: {e}");
                self.unwatched = Some((id, self.env.clock.now().mono + WATCH_AGAIN));
            }
        }
    }

    /// Leaves nothing about the key behind. `false`: the worker is to end before it is forgotten.
    fn clean_up(&mut self) -> bool {
        self.watch = None;
        crash::point("before the copies are removed");
        if let Err(e) = disks::discard_all(&self.env.dirs.copies, self.key) {
            log::error!(key:% = self.key; "a copy cannot be removed: {e}");
        }
        crash::point("before the cfg is removed");
        self.remove_cfgs_but(None);
        crash::point("before the cloud-init disk is removed");
        let seed = cloudinit::path(&self.env.dirs.seeds(), self.key);
        if let Err(e) = store::remove(&seed) {
            log::error!(key:% = self.key; "{}: {e}", seed.display());
        }
        // As long as the journal knows the key, the next agent knows that something is left to be done.
        while let Some(ticket) = self.env.records.remove(self.key) {
            match ticket.wait() {
                Ok(()) => break,
                Err(e) => log::error!(key:% = self.key; "it cannot be forgotten: {e}"),
            }
            if !self.pause(WRITE_AGAIN) {
                return false;
            }
        }
        *self.memory = None;
        crash::point("before the status is removed");
        let status = self.env.dirs.status_of(self.key);
        if let Err(e) = store::remove(&status) {
            log::error!(key:% = self.key; "{}: {e}", status.display());
        }
        self.env.register.forget(self.key);
        self.env.metrics.forget(self.key);
        self.env.inputs.forget(self.key);
        log::info!(key:% = self.key; "removed");
        true
    }
}
