//! A worker without threads, files or clocks. Operations take simulated time, and hints come when the test says so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::core::{
    Answer, Built, Desired, Effect, Elsewhere, Event, Facts, Given, Input, Now, Op, Order, Outcome,
    Record, Scope, Time, Until, Wish, abort, step, view,
};
use crate::frontends::eve::{self, DomainConfig, DomainStatus};
use crate::frontends::status;
use crate::frontends::wish::WishFile;
use crate::spec::settings::Settings;
use crate::spec::{Assigned, Mode, Spec};
use crate::toolstack::live::{self, Live};
use crate::toolstack::sim::model::{ACK, Answer as Heard, Millis, Model};
use crate::toolstack::{
    DomainId, Error, ErrorKind, HandedOver, INCOMING, Life, Limits, Seen, ShutdownReason,
};

pub(super) const KEY: Uuid = Uuid::from_u128(0xa);
pub(super) const OTHER: Uuid = Uuid::from_u128(0xb);

/// Time to copy the images of a domain, in milliseconds.
pub(super) const COPYING: Millis = 20_000;
/// Memory of a domain that an outsider makes, in KiB.
const OUTSIDERS_KIB: u64 = 1 << 10;
/// More steps than this in one instant are a busy loop.
const MANY: u32 = 60;

/// Delivery of events to the worker.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delivery {
    pub(super) lost: bool,
    pub(super) doubled: bool,
    /// Delay of libxl's look after an event. The look sees the state at that time.
    pub(super) delay: Millis,
    /// A source that has reported its one shutdown is not armed again.
    pub(super) bare: bool,
}

struct Running {
    op: Op,
    /// The guest has been asked to suspend.
    asked: bool,
    due: Millis,
    /// The operation ends with a timeout.
    times_out: bool,
    /// Domains that start first, by what the worker is told.
    first: Option<&'static str>,
    created: Option<DomainId>,
    aborted: bool,
}

pub(super) struct Harness {
    pub(super) xen: Model,
    facts: Option<Facts>,
    settings: Settings,
    config: Option<Desired>,
    /// The DomainConfig file cannot be used.
    pub(super) unusable: bool,
    running: Option<Running>,
    pub(super) delivery: Delivery,
    /// Times at which libxl will look at sources that have fired.
    looks: VecDeque<Millis>,
    /// The watched domain, and its source of events.
    watch: Option<(DomainId, u64)>,
    wake: Option<Time>,
    pub(super) finished: bool,
    pub(super) notes: Vec<String>,
    orders: u64,
    /// The newest order that is not one to cancel another.
    pub(super) newest: u64,
    /// Orders that this run of the agent has given their last answer.
    over: BTreeSet<u64>,
    /// Events that were told.
    pub(super) events: Vec<Event>,
    /// Answers to orders, with the numbers of the orders.
    pub(super) answers: Vec<(u64, Answer)>,
    pub(super) ops: Vec<Op>,
    steps_now: u32,
    /// Someone else's domain may have our uuid.
    pub(super) outsiders: bool,
    /// Sending ends of migrations whose receiver has been started. An outsider who resumes one does so on purpose.
    pub(super) superseded: BTreeSet<DomainId>,
    /// Receiving ends of migrations, with the changes that their source had when they were made.
    carried: BTreeMap<DomainId, Vec<String>>,
    /// Domains whose destruction has been begun.
    destroyed: BTreeSet<DomainId>,
    /// Adapters are reserved for us.
    pub(super) reserved: bool,
    /// Reason for refusing adapters, if they are refused.
    pub(super) refusal: Option<&'static str>,
    /// Domains that start before this one.
    pub(super) first: Option<&'static str>,
    /// Selects the operations that fail, without having done anything.
    pub(super) fails: fn(&Op) -> bool,
    /// Selects the operations that fail because the agent lacks resources of its own.
    pub(super) starves: fn(&Op) -> bool,
    /// Offset that an operator has added to the wall clock.
    pub(super) clock_step: time::Duration,
    /// A status said that the domain has been started.
    pub(super) ever_activated: bool,
    /// The states published, one after the other.
    pub(super) trail: Vec<String>,
    /// The last status published.
    pub(super) published: Option<DomainStatus>,
    /// The durable record.
    pub(super) memory: Option<Vec<u8>>,
    /// Operations come to their end before an abort reaches them.
    pub(super) too_late: bool,
    /// State of the file with the domain's memory, if there is one; `true`: the domain has run since.
    pub(super) file: Option<bool>,
    /// The other host of a migration.
    pub(super) other: OtherHost,
    /// The agent is killed before it hears of the end of its next operation.
    pub(super) dies: bool,
    dead: bool,
}

/// Behaviour of the other host of a migration, and the fate of the guest there.
#[derive(Clone, Debug)]
pub(super) struct OtherHost {
    /// Result of giving the guest away.
    pub(super) word: HandedOver,
    /// Answer to the question what became of the guest; `None`: it cannot be asked.
    pub(super) answer: Option<Elsewhere>,
    /// It says GO to this one.
    pub(super) says_go: bool,
    /// The guest runs there.
    pub(super) runs: bool,
}

impl Default for OtherHost {
    fn default() -> Self {
        Self {
            word: HandedOver::Moved,
            answer: None,
            says_go: true,
            runs: false,
        }
    }
}

impl Running {
    fn abort(&mut self, now: Millis) {
        self.aborted = true;
        self.due = now;
    }
}

impl Harness {
    pub(super) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(super) fn with(settings: Settings) -> Self {
        Self::on(4096, settings)
    }

    /// Returns a worker on a host with `memory` MiB.
    pub(super) fn on(memory: u64, settings: Settings) -> Self {
        let mut harness = Self {
            xen: Model::new(memory),
            facts: None,
            settings,
            config: None,
            unusable: false,
            running: None,
            delivery: Delivery::default(),
            looks: VecDeque::new(),
            watch: None,
            wake: None,
            finished: true,
            notes: Vec::new(),
            orders: 0,
            newest: 0,
            over: BTreeSet::new(),
            events: Vec::new(),
            answers: Vec::new(),
            ops: Vec::new(),
            steps_now: 0,
            outsiders: false,
            superseded: BTreeSet::new(),
            carried: BTreeMap::new(),
            destroyed: BTreeSet::new(),
            reserved: false,
            refusal: None,
            first: None,
            fails: |_| false,
            starves: |_| false,
            clock_step: time::Duration::ZERO,
            ever_activated: false,
            trail: Vec::new(),
            published: None,
            memory: None,
            too_late: false,
            file: None,
            other: OtherHost::default(),
            dies: false,
            dead: false,
        };
        harness.xen.outsider(OTHER, "other", None);
        harness
    }

    /// Returns a DomainConfig whose guest behaves as `words` say.
    pub(super) fn desired(activate: bool, mode: Mode, words: &str) -> Desired {
        Self::desired_with(activate, mode, words, |_| {})
    }

    pub(super) fn desired_with(
        activate: bool,
        mode: Mode,
        words: &str,
        change: impl FnOnce(&mut DomainConfig),
    ) -> Desired {
        let mut config = DomainConfig {
            uuid_and_version: eve::UuidAndVersion {
                uuid: KEY.to_string(),
                version: "1".into(),
            },
            display_name: "app".into(),
            activate,
            app_num: 1,
            kernel: "/k".into(),
            memory: eve::Kilobytes(65536),
            virtualization_mode: eve::ModeField::Word(mode.word().into()),
            extra_args: words.into(),
            ..DomainConfig::default()
        };
        change(&mut config);
        let spec = eve::spec(KEY, &config);
        let spec = spec.map(Arc::new).map_err(|e| e.to_string());
        WishFile::Eve(Arc::new(config)).desired(spec, Vec::new())
    }

    pub(super) fn now(&self) -> Now {
        let since_start = Duration::from_millis(self.xen.now());
        Now {
            mono: Time::new(since_start),
            wall: OffsetDateTime::UNIX_EPOCH
                + Duration::from_secs(1_800_000_000)
                + since_start
                + self.clock_step,
        }
    }

    /// Puts a config into place, or takes the config away.
    pub(super) fn wish(&mut self, config: Option<Desired>) {
        self.config = config;
        if self.facts.is_none() {
            if self.config.is_some() {
                self.start();
            }
            return;
        }
        let wish = self.read();
        if let Some(running) = &mut self.running {
            if abort::on_wish(&running.op, &wish) && !self.too_late {
                running.abort(self.xen.now());
            }
        }
        self.feed(Input::Wish(wish));
    }

    /// Kills the agent and starts it again.
    pub(super) fn restart(&mut self) {
        self.xen.end_process();
        self.running = None;
        self.facts = None;
        self.looks.clear();
        self.over.clear();
        self.dead = false;
        if self.config.is_some() || self.memory.is_some() {
            self.start();
        }
    }

    /// Switches the host off and on, and starts the agent anew.
    pub(super) fn reboot_host(&mut self) {
        self.xen.reboot();
        self.watch = None;
        self.superseded.clear();
        self.destroyed.clear();
        self.reserved = false;
        self.restart();
    }

    /// Restarts the agent, with the DomainConfig changed in between.
    pub(super) fn restart_with(&mut self, config: Desired) {
        self.config = Some(config);
        self.restart();
    }

    fn start(&mut self) {
        let settings = self.settings.clone();
        self.facts = Some(match &self.memory {
            Some(bytes) => {
                let record = Record::from_bytes(bytes).unwrap();
                Facts::recover(self.now(), KEY, settings, record, self.xen.boot_id())
            }
            None => Facts::new(KEY, settings),
        });
        self.finished = false;
        self.unwatch();
        self.wake = None;
        let wish = self.read();
        self.feed(Input::Wish(wish));
    }

    fn read(&self) -> Wish {
        match &self.config {
            Some(_) if self.unusable => Wish::Unusable("unusable".into()),
            Some(config) => Wish::Wanted(config.clone()),
            None => Wish::Absent,
        }
    }

    pub(super) fn is_wanted(&self) -> bool {
        let activated = self.config.as_ref().is_some_and(|c| c.run);
        match self.published.as_ref().map(|status| status.held.as_str()) {
            Some("started") => self.config.is_some(),
            Some("stopped") => false,
            _ => activated,
        }
    }

    /// Returns whether the worker is in the middle of an operation.
    pub(super) fn is_busy(&self) -> bool {
        self.running.is_some()
    }

    /// Reports that refused adapters may be available now.
    pub(super) fn adapters_news(&mut self) {
        self.feed(Input::Freed);
    }

    /// Gives an order. Returns its number.
    pub(super) fn order(&mut self, order: Order) -> u64 {
        self.orders += 1;
        let id = self.orders;
        if !matches!(order, Order::Cancel(_)) {
            self.newest = id;
        }
        if let Some(running) = &mut self.running {
            let cancels = match order {
                Order::Cancel(job) => {
                    self.facts.as_ref().and_then(Facts::cancels_with) == Some(job)
                }
                _ => false,
            };
            if (cancels || abort::on_order(&running.op, &order)) && !self.too_late {
                running.abort(self.xen.now());
            }
        }
        self.feed(Input::Order(Given {
            id,
            order,
            by: "root".to_owned(),
        }));
        id
    }

    /// Gives up the newest order. Returns the number of the order to do so.
    pub(super) fn cancel(&mut self) -> u64 {
        self.order(Order::Cancel(self.newest))
    }

    /// Gives an order and lets time pass. Returns the answers to the order.
    pub(super) fn ordered(&mut self, order: Order, millis: Millis) -> Vec<Answer> {
        let id = self.order(order);
        self.advance(millis);
        let said = self.answers.iter().filter(|(of, _)| *of == id);
        said.map(|(_, answer)| answer.clone()).collect()
    }

    /// Returns whether an order has not had its last answer.
    pub(super) fn owes_an_answer(&self) -> bool {
        let orders = self.facts.as_ref().map(|f| &f.orders);
        orders.is_some_and(|o| o.under_way.is_some() || !o.waiting.is_empty())
    }

    pub(super) fn hint(&mut self) {
        self.feed(Input::Hint);
    }

    pub(super) fn state(&self) -> String {
        self.published
            .as_ref()
            .map(|s| s.state_name.clone())
            .unwrap_or_default()
    }

    pub(super) fn domain(&self) -> Option<DomainId> {
        self.facts.as_ref().and_then(Facts::domain)
    }

    /// Returns the domain that Xen has under our uuid.
    pub(super) fn theirs(&self) -> Option<Seen> {
        self.xen.list().into_iter().find(|s| {
            let incoming = s.name.as_deref().is_some_and(|n| n.ends_with("--incoming"));
            !incoming && self.counts(s)
        })
    }

    /// Does something behind the worker's back, to the domain Xen has under our uuid.
    pub(super) fn outside(&mut self, act: impl FnOnce(&mut Model, DomainId)) {
        if let Some(seen) = self.theirs() {
            act(&mut self.xen, seen.id);
            self.collect();
        }
    }

    /// Does something behind the worker's back.
    pub(super) fn meanwhile<T>(&mut self, act: impl FnOnce(&mut Model) -> T) -> T {
        let result = act(&mut self.xen);
        self.collect();
        self.check();
        result
    }

    fn unwatch(&mut self) {
        if let Some((_, source)) = self.watch.take() {
            self.xen.disarm(source);
        }
    }

    fn feed(&mut self, input: Input) {
        let Some(facts) = self.facts.take() else {
            return;
        };
        self.steps_now += 1;
        assert!(self.steps_now < MANY, "a busy loop: {input:?} {facts:#?}");
        let busy = facts.outstanding().is_some() && !matches!(input, Input::Done(_));
        let (facts, effects) = step(self.now(), facts, input);
        let finish = effects.contains(&Effect::Finish);
        // As in the worker, a record may be lost if nothing waits for it.
        let looks = |e: &Effect| matches!(e, Effect::Run(Op::Look(_), _));
        if !finish && !busy && !effects.iter().any(looks) {
            self.memory = Some(facts.record(self.xen.boot_id()).to_bytes().unwrap());
        }
        if !finish && facts.publishable() {
            let status = status::of(view(&facts));
            if self.trail.last() != Some(&status.state_name) {
                self.trail.push(status.state_name.clone());
            }
            self.published = Some(status);
        }
        assert!(
            effects
                .iter()
                .filter(|e| matches!(e, Effect::Run(..)))
                .count()
                <= 1
        );
        self.facts = Some(facts);
        // As in the worker, events come before all other effects.
        let told = effects.iter().filter_map(|effect| match effect {
            Effect::Event(event) => Some(event.clone()),
            _ => None,
        });
        self.events.extend(told);
        for effect in effects {
            match effect {
                Effect::Note(_, text) => self.notes.push(text),
                Effect::Event(_) => {}
                Effect::Answer(id, answer) => {
                    let open = answer == Answer::Accepted;
                    assert!(!self.over.contains(&id), "{answer:?} after the last answer");
                    if !open {
                        self.over.insert(id);
                    }
                    self.answers.push((id, answer));
                }
                Effect::Watch(id) => {
                    let new = self.xen.arm(id.domid);
                    self.unwatch();
                    self.watch = Some((id, new));
                    self.collect();
                }
                Effect::Unwatch => self.unwatch(),
                Effect::Wake(at) => self.wake = at,
                Effect::Run(op, deadline) => {
                    assert!(!busy && self.running.is_none(), "two operations at once");
                    self.begin(op, deadline);
                }
                Effect::Finish => {
                    assert!(self.config.is_none(), "ended although there is a config");
                    self.file = None;
                    self.finished = true;
                    self.published = None;
                    self.memory = None;
                    self.unwatch();
                }
            }
        }
        if self.finished {
            self.facts = None;
            self.running = None;
        }
        self.check();
    }

    /// Checks what must hold at every moment.
    fn check(&mut self) {
        let running = self
            .xen
            .list()
            .iter()
            .filter(|s| s.id.uuid == KEY && s.life == Life::Running)
            .count();
        let elsewhere = usize::from(self.other.runs);
        assert!(running + elsewhere <= 1 || self.outsiders, "two copies run");
        // The agent cannot know of a domain that comes and goes while nobody looks. Nor of one that others unpause and
        // resume while it is being destroyed, for which it was paused: nobody can look at it afterwards.
        let ours = self.domain().and_then(|id| self.xen.info(id));
        let goes = |id| {
            let running = self.running.as_ref();
            running.is_some_and(|running| matches!(running.op, Op::Destroy(of) if of == id))
        };
        let runs = ours.is_some_and(|seen| seen.life == Life::Running && !goes(seen.id));
        if let (Some(stale), true) = (&mut self.file, runs) {
            *stale = true;
        }
        if let Some(status) = &self.published {
            let suspended = status.state_name == "SUSPENDED";
            assert!(
                !suspended || !status.state_reason.is_empty() && status.suspended_since.is_some(),
                "suspended without a reason: {status:#?}"
            );
            let there = status.domain_id != 0;
            self.ever_activated |= status.activated;
            assert!(
                !status.activated || there,
                "activated without a domain: {status:#?}"
            );
        }
    }

    fn begin(&mut self, op: Op, deadline: Option<Duration>) {
        let now = self.xen.now();
        let mut takes = 0;
        let mut created = None;
        let mut asked = false;
        let mut failed = None;
        if let Some(seen) = op.target().and_then(|id| self.xen.info(id)) {
            let incoming = seen.name.is_some_and(|n| n.ends_with("--incoming"));
            let look = matches!(op, Op::Look(_));
            let own = matches!(op, Op::AwaitGo(_) | Op::Land(..) | Op::Destroy(_));
            assert!(
                look || !incoming || own,
                "{op:?} of a migration's receiving end"
            );
            let kept = self.xen.is_preserved(seen.id);
            assert!(look || !kept, "{op:?} of a preserved domain");
        }
        if (self.starves)(&op) {
            self.running = Some(Running {
                op,
                asked: false,
                due: now,
                times_out: false,
                first: None,
                created: None,
                aborted: false,
            });
            self.end(Some(Error::new(
                ErrorKind::Exhausted,
                "too many open files (simulated)",
            )));
            return;
        }
        match &op {
            Op::Create(spec) | Op::Restore(spec, _) => {
                if matches!(op, Op::Restore(..)) {
                    assert_eq!(self.file, Some(false), "restored from what is out of date");
                }
                assert_eq!(
                    self.reserved,
                    !spec.adapters.is_empty(),
                    "built with what is reserved, and with nothing else"
                );
                assert_eq!(spec.assigned.irqs.len(), spec.adapters.len());
                let others = self.could_run();
                assert!(others.is_empty(), "created beside {others:?}");
                assert!(
                    self.is_wanted() || self.config.is_some(),
                    "created without a wish"
                );
                match self.xen.begin_create(spec) {
                    Ok((id, millis)) => (created, takes) = (Some(id), millis),
                    Err(e) => failed = Some(e),
                }
            }
            Op::Destroy(id) => {
                let life = self.xen.info(*id).map(|s| s.life);
                let suspended = life == Some(Life::Shutdown(ShutdownReason::SUSPEND));
                let begun = !self.destroyed.insert(*id);
                let moved = self.other.runs || self.other.answer == Some(Elsewhere::Runs);
                assert!(
                    begun || !(suspended && self.is_wanted()) || self.file == Some(false) || moved,
                    "a suspended domain is destroyed although it should run: {:?}",
                    self.notes
                );
                match self.xen.begin_destroy(*id) {
                    Ok(millis) => takes = millis,
                    Err(e) => failed = Some(e),
                }
            }
            Op::Receive(spec, _) => {
                let others = self.could_run();
                assert!(others.is_empty(), "received beside {others:?}");
                let mut spec = Spec::clone(spec);
                spec.name = format!("{}{INCOMING}", spec.name);
                match self.xen.begin_create(&spec) {
                    Ok((id, millis)) => (created, takes) = (Some(id), millis),
                    Err(e) => failed = Some(e),
                }
            }
            Op::HandOver(_) | Op::AwaitGo(_) | Op::Ask(..) => takes = 50,
            Op::TakeBack(..) => {
                assert!(!self.other.runs, "taken back from where it runs");
                takes = 5;
            }
            // The guest is not asked.
            Op::Save(..) | Op::Send(..) if (self.fails)(&op) => {}
            Op::Save(id, _) | Op::Send(id, _)
                if self.xen.info(*id).is_some_and(|s| s.life != Life::Running) =>
            {
                failed = Some(Error::new(ErrorKind::Other, "it does not run"));
            }
            Op::Save(id, _) | Op::Send(id, _) => {
                self.xen.look_no_more(*id);
                match self.xen.request_suspend(*id, 50) {
                    Ok(Heard::In(span)) => (asked, takes) = (true, span + 350),
                    Ok(Heard::Never) => {
                        (asked, takes) = (true, ACK);
                        failed = Some(Error::new(ErrorKind::TimedOut, "did not suspend"));
                    }
                    Err(e) => failed = Some(e),
                }
            }
            Op::Shutdown(id) => match self.xen.request_shutdown(*id) {
                Ok(Heard::In(span)) => takes = span + 5,
                Ok(Heard::Never) => {
                    takes = ACK;
                    failed = Some(Error::new(ErrorKind::TimedOut, "no acknowledgement"));
                }
                Err(e) => failed = Some(e),
            },
            Op::Reserve(_) => {
                takes = 50;
                failed = self
                    .refusal
                    .map(|why| Error::new(ErrorKind::Other, why.to_owned()));
                if failed.is_some() {
                    takes = 0;
                }
            }
            Op::Release => {
                let others = self.could_run();
                assert!(others.is_empty(), "released beside {others:?}");
                self.reserved = false;
            }
            Op::Dump(..) | Op::CoreDump(_) | Op::SoftReset(..) | Op::Strip(_) => takes = 100,
            Op::Disks(..) => takes = COPYING,
            Op::Discard(_) => {
                assert!(
                    self.could_run().is_empty(),
                    "the disks of a domain that is there"
                );
            }
            // So that something can happen meanwhile.
            Op::Turn if self.first.is_some() => takes = 5,
            Op::Turn => {}
            Op::Pause(_)
            | Op::Unpause(_)
            | Op::Resume(_)
            | Op::Withdraw(_)
            | Op::Land(..)
            | Op::PowerButton(_)
            | Op::Preserve(..)
            | Op::Change(..) => takes = 5,
            Op::Look(_) | Op::Devices(_) | Op::Screen(_) | Op::DiscardSaved => {}
        }
        if !matches!(op, Op::Look(_) | Op::Turn) {
            self.ops.push(op.clone());
        }
        if (self.fails)(&op) {
            takes = 0;
            failed = Some(Error::new(ErrorKind::Other, "no (simulated)"));
        }
        let allowed = deadline.map_or(Millis::MAX, |d| Millis::try_from(d.as_millis()).unwrap());
        let times_out = takes > allowed;
        self.running = Some(Running {
            op,
            asked,
            due: now + takes.min(allowed),
            times_out,
            first: self.first,
            created,
            aborted: false,
        });
        if takes == 0 {
            self.end(failed);
        } else if let Some(e) = failed {
            // The operation fails when it is due, with a timeout.
            if let Some(running) = &mut self.running {
                running.times_out = true;
            }
            drop(e);
        }
    }

    /// Ends the operation under way.
    fn end(&mut self, failed: Option<Error>) {
        let Some(running) = self.running.take() else {
            return;
        };
        let error = if running.aborted {
            Some(Error::new(ErrorKind::Aborted, "aborted"))
        } else if running.times_out {
            Some(Error::new(ErrorKind::TimedOut, "took too long"))
        } else {
            failed
        };
        let outcome = match &running.op {
            Op::Look(_) if (self.fails)(&running.op) => {
                Outcome::Looked(Err(Error::new(ErrorKind::Other, "no (simulated)")))
            }
            Op::Look(_) if error.is_some() => {
                Outcome::Looked(Err(error.expect("seen just before")))
            }
            Op::Look(Scope::All) => Outcome::Looked(Ok(self
                .xen
                .list()
                .into_iter()
                .filter(|s| s.id.uuid == KEY)
                .collect())),
            Op::Look(Scope::One(id)) => {
                Outcome::Looked(Ok(self.xen.info(*id).into_iter().collect()))
            }
            Op::HandOver(id) => Outcome::HandedOver(self.handed_over(*id, error)),
            Op::Ask(..) => Outcome::Asked(match (error, self.other.answer) {
                (Some(e), _) => Err(e),
                (None, Some(answer)) => Ok(answer),
                (None, None) => Err(Error::new(ErrorKind::Other, "no route")),
            }),
            Op::Create(_) | Op::Restore(..) | Op::Receive(..) => {
                Outcome::Created(match (error, running.created) {
                    (Some(e), _) => Err(e),
                    (None, Some(id)) => self.xen.end_create(id).map(|()| {
                        let made = self.xen.info(id);
                        Built {
                            id,
                            memory_kib: made.map_or(0, |domain| domain.memory_kib),
                            doubts: Vec::new(),
                        }
                    }),
                    (None, None) => Err(Error::new(ErrorKind::Other, "nothing was created")),
                })
            }
            Op::Disks(spec, ..) => Outcome::Disks(match error {
                Some(e) => Err(e),
                None => {
                    let mut ready = Spec::clone(spec);
                    for disk in ready.disks.iter_mut().filter(|d| !d.as_it_is) {
                        disk.path = format!("/ready/{}", disk.vdev);
                    }
                    Ok(Arc::new(ready))
                }
            }),
            Op::Reserve(spec) => Outcome::Reserved(match error {
                Some(e) => Err(e),
                None => {
                    self.reserved = true;
                    // One interrupt for each adapter.
                    Ok(Assigned {
                        irqs: (0..).zip(&spec.adapters).map(|(n, _)| n).collect(),
                        ..Assigned::default()
                    })
                }
            }),
            Op::Turn => Outcome::Turn(running.first.map(str::to_owned)),
            Op::Screen(id) => Outcome::Screen(match error {
                Some(e) => Err(e),
                None => self.xen.vnc_display(*id),
            }),
            Op::Devices(id) => Outcome::Devices(match error {
                Some(e) => Err(e),
                None => self.xen.unconnected(*id),
            }),
            Op::Send(id, _) => Outcome::Ended(self.sent(*id, running.asked, error)),
            Op::Save(id, _) => Outcome::Ended(self.saved(*id, running.asked, error)),
            op => Outcome::Ended(match error {
                Some(e) => Err(e),
                None => match op {
                    Op::Resume(id) => self.xen.resume(*id),
                    Op::TakeBack(id, name) => self.xen.take_back(*id, name),
                    Op::AwaitGo(_) if self.other.says_go => Ok(()),
                    Op::AwaitGo(id) => {
                        self.xen.kill(*id).unwrap();
                        Err(Error::new(ErrorKind::Other, "no GO"))
                    }
                    Op::Land(id, name) => self.xen.land(*id, name),
                    Op::Withdraw(id) => self.xen.withdraw_suspend(*id).map(drop),
                    Op::DiscardSaved => {
                        self.file = None;
                        Ok(())
                    }
                    Op::Unpause(id) => self.xen.unpause(*id),
                    Op::Pause(id) => self.xen.pause(*id),
                    Op::Change(id, change, ..) => {
                        live::make(&mut self.xen, *id, change, &Limits::default())
                    }
                    Op::PowerButton(id) => self.xen.power_button(*id),
                    Op::Destroy(id) => self.xen.end_destroy(*id),
                    Op::Preserve(id, suffix) => self.xen.preserve(*id, suffix),
                    Op::Strip(id) => self.xen.strip(*id),
                    Op::SoftReset(id, _) => self.xen.soft_reset(*id),
                    _ => Ok(()),
                },
            }),
        };
        self.collect();
        self.check();
        if !matches!(running.op, Op::Look(_) | Op::Turn) && std::mem::take(&mut self.dies) {
            self.dead = true;
            return;
        }
        self.feed(Input::Done(outcome));
    }

    /// Gives the guest away, as the other host has it.
    fn handed_over(&mut self, id: DomainId, error: Option<Error>) -> HandedOver {
        if let Some(e) = error {
            return HandedOver::Undecided(e);
        }
        match self.other.word.clone() {
            HandedOver::Moved => {
                self.other.runs = true;
                self.xen.kill(id).unwrap();
            }
            HandedOver::Kept(_) | HandedOver::GivenBack(_) => self.xen.resume(id).unwrap(),
            HandedOver::Undecided(_) => {}
        }
        self.other.word.clone()
    }

    /// Ends the sending of a guest: the other host has it, or it goes on.
    fn sent(&mut self, id: DomainId, asked: bool, error: Option<Error>) -> Result<(), Error> {
        let file = self.file.take();
        let sent = self.saved(id, asked, error);
        self.file = file;
        sent
    }

    /// Ends a save: the file is whole, or the domain goes on.
    fn saved(&mut self, id: DomainId, asked: bool, error: Option<Error>) -> Result<(), Error> {
        let life = self.xen.info(id).map(|seen| seen.life);
        let suspended = life == Some(Life::Shutdown(ShutdownReason::SUSPEND));
        match error {
            None if suspended => {
                self.file = Some(false);
                Ok(())
            }
            error => {
                let error =
                    error.unwrap_or_else(|| Error::new(ErrorKind::Other, "it did not suspend"));
                if asked {
                    self.xen.bring_back(id, &error);
                }
                Err(error)
            }
        }
    }

    /// Checks that the domain has the changes that the status shows as made by hand.
    pub(super) fn has_what_was_changed(&mut self) -> Result<(), String> {
        let (Some(status), Some(seen)) = (self.published.clone(), self.theirs()) else {
            return Ok(());
        };
        let id = seen.id;
        // A domain that has ended, and is kept, may have given its devices to the next.
        let may_go_on = matches!(
            seen.life,
            Life::Running | Life::Paused | Life::Shutdown(ShutdownReason::SUSPEND)
        );
        // A domain made by an outsider has the devices and memory that the outsider gave it.
        if !may_go_on || status.domain_id != id.domid || seen.memory_kib == OUTSIDERS_KIB {
            return Ok(());
        }
        let carried = self.carried.get(&id).cloned();
        for change in &status.changed {
            let waits = status.waiting.iter().any(|w| w.starts_with(change));
            // Another change of the same thing may have been made, or not: "detach nic …" after "attach nic …".
            let subject = change.split_once(' ').map_or(&**change, |(_, rest)| rest);
            let subject = subject.split('=').next().unwrap_or(subject);
            let unknown = |w: &String| w.contains("was begun") && w.contains(subject);
            let waits = waits || status.waiting.iter().any(unknown);
            // A change that is made while an outsider migrates the domain stays behind with the source.
            let stays = carried.as_ref().is_some_and(|c| !c.contains(change));
            if !waits && !stays && !self.has(&seen, change)? {
                return Err(format!("it does not have what was said: {change}"));
            }
        }
        Ok(())
    }

    /// Returns whether the domain has what the text of a change says.
    fn has(&mut self, seen: &Seen, change: &str) -> Result<bool, String> {
        let disks = self.xen.disks(seen.id).map_err(|e| e.to_string())?;
        let nics = self.xen.nics(seen.id).map_err(|e| e.to_string())?;
        Ok(match change.split(' ').collect::<Vec<_>>().as_slice() {
            ["attach", "disk", vdev] => disks.iter().any(|d| d.vdev.as_deref() == Some(vdev)),
            ["attach", "nic", mac] => {
                let macs = nics.iter().filter_map(|nic| nic.mac);
                macs.filter(|found| found.to_string() == *mac).count() == 1
            }
            ["detach", "disk", vdev] => !disks.iter().any(|d| d.vdev.as_deref() == Some(vdev)),
            ["detach", "nic", mac] => {
                let mut macs = nics.iter().filter_map(|nic| nic.mac);
                !macs.any(|found| found.to_string() == *mac)
            }
            ["set", figure] => *figure == format!("memory={}", seen.memory_kib >> 10),
            _ => return Err(format!("not known here: {change}")),
        })
    }

    /// Remembers the changes that a migration's receiving end has from its source.
    pub(super) fn carries(&mut self, source: &Seen, receiver: DomainId) {
        let told = self.published.as_ref().map(|s| s.changed.clone());
        let mut carried = told.unwrap_or_default();
        carried.retain(|change| self.has(source, change) == Ok(true));
        self.carried.insert(receiver, carried);
    }

    /// Returns the domains with our uuid that run, or could run without the agent's doing.
    pub(super) fn could_run(&self) -> Vec<Seen> {
        let mut all = self.xen.list();
        all.retain(|s| self.counts(s));
        all
    }

    fn counts(&self, s: &Seen) -> bool {
        let superseded =
            self.superseded.contains(&s.id) && s.life == Life::Shutdown(ShutdownReason::SUSPEND);
        s.id.uuid == KEY && s.life != Life::Dying && !self.xen.is_preserved(s.id) && !superseded
    }

    /// Schedules libxl's look at sources that have fired, or loses their events.
    fn collect(&mut self) {
        if !self.xen.has_fired() {
            return;
        }
        if self.delivery.lost {
            self.xen.lose_events();
        } else if self.looks.is_empty() {
            self.looks.push_back(self.xen.now() + self.delivery.delay);
        }
    }

    /// Performs libxl's look, which sees the present state.
    fn look(&mut self) {
        let reported = self.xen.take_reported();
        let Some((id, source)) = self.watch.filter(|(_, s)| reported.contains(s)) else {
            return;
        };
        let may_go_on = self.xen.info(id).is_some_and(|s| {
            matches!(
                s.life,
                Life::Running | Life::Paused | Life::Shutdown(ShutdownReason::SUSPEND)
            )
        });
        if may_go_on && !self.delivery.bare {
            let new = self.xen.arm(id.domid);
            self.xen.disarm(source);
            self.watch = Some((id, new));
        }
        for _ in 0..if self.delivery.doubled { 2 } else { 1 } {
            let now = self.xen.now();
            if let Some(running) = &mut self.running {
                if abort::on_hint(&running.op) && !self.too_late {
                    running.abort(now);
                }
            }
            self.feed(Input::Hint);
        }
    }

    /// Compares the domains in Xen with the worker's belief, as the supervisor does every half a minute.
    pub(super) fn resync(&mut self) {
        let all = self.xen.list();
        let idle = self.running.is_none();
        if let Some(facts) = self.facts.as_ref().filter(|_| idle) {
            if !facts
                .belief()
                .holds(all.iter().filter(|s| s.id.uuid == KEY))
            {
                self.feed(Input::Resync);
            }
        }
    }

    /// Lets time pass.
    pub(super) fn advance(&mut self, span: Millis) {
        let end = self.xen.now() + span;
        loop {
            let now = self.xen.now();
            let wake = self
                .wake
                .filter(|_| self.running.is_none())
                .map(|t| Millis::try_from(t.since_start().as_millis()).unwrap());
            let due = [
                self.running.as_ref().map(|r| r.due),
                self.looks.front().copied(),
                wake,
                self.xen.next_due(),
            ]
            .into_iter()
            .flatten()
            .min()
            .filter(|due| *due <= end);
            if self.dead {
                self.restart();
                continue;
            }
            let Some(due) = due else { break };
            if due > now {
                self.steps_now = 0;
            }
            self.xen.advance(due.max(now));
            self.collect();
            let now = self.xen.now();
            if self.running.as_ref().is_some_and(|r| r.due <= now) {
                self.end(None);
            } else if self.looks.front().is_some_and(|at| *at <= now) {
                self.looks.pop_front();
                self.look();
            } else if wake.is_some_and(|w| w <= now) && self.running.is_none() {
                self.wake = None;
                self.feed(Input::Timer);
            }
        }
        self.steps_now = 0;
        self.xen.advance(end);
        self.collect();
    }

    /// Reports the progress of the copy under way.
    pub(super) fn progress(&mut self, progress: crate::base::progress::Progress) {
        self.feed(Input::Progress(progress));
    }

    /// Lets time pass, with a resync every 30 s.
    pub(super) fn half_minutes(&mut self, count: u64) {
        for _ in 0..count {
            self.advance(30_000);
            self.resync();
        }
    }

    /// Lets time pass with a resync every 30 s, and from now on nothing is lost or late.
    pub(super) fn fair(&mut self, minutes: u64) {
        self.delivery = Delivery::default();
        self.half_minutes(2 * minutes);
    }
}

/// Has the domain run.
pub(super) const START: Order = Order::Start {
    anyway: false,
    fresh: false,
    until: Until::Started,
};
/// Keeps the domain down.
pub(super) const STOP: Order = Order::Stop {
    destroy: false,
    until: Until::Started,
};
/// Saves the domain to the agent's own file.
pub(super) const SAVE: Order = Order::Save {
    until: Until::Started,
    file: None,
};

/// Returns a worker whose PV domain runs, with a guest that behaves as `words` say.
pub(super) fn running(words: &str) -> Harness {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(true, Mode::Pv, words)));
    h.advance(5_000);
    assert_eq!(h.state(), "RUNNING");
    h
}

/// Checks that an order was refused, for a reason with these words.
#[track_caller]
pub(super) fn refused(said: &[Answer], words: &str) {
    match said {
        [Answer::Refused(why)] if why.contains(words) => {}
        _ => panic!("{said:?}"),
    }
}

/// Returns the answers to an order that is obeyed.
pub(super) fn obeyed() -> Vec<Answer> {
    vec![Answer::Accepted, Answer::Done]
}
