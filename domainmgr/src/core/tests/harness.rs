//! A worker without threads, files or clocks: what it does takes simulated time, and hints come when the test says so.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::core::{
    Desired, Effect, Facts, Input, Now, Op, Outcome, Previous, Scope, Time, Wish, abort, step, view,
};
use crate::eve::{self, DomainConfig, DomainStatus};
use crate::settings::Settings;
use crate::spec::Mode;
use crate::toolstack::sim::model::{Answer, Millis, Model};
use crate::toolstack::{DomainId, Error, ErrorKind, Life, Seen, ShutdownReason};

pub(super) const KEY: Uuid = Uuid::from_u128(0xa);
pub(super) const OTHER: Uuid = Uuid::from_u128(0xb);

/// More steps than this in one instant are a busy loop.
const MANY: u32 = 60;

/// How hints reach the worker.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delivery {
    pub(super) lost: bool,
    pub(super) doubled: bool,
    pub(super) delay: Millis,
}

struct Running {
    op: Op,
    due: Millis,
    /// It will not get further than its deadline.
    times_out: bool,
    created: Option<DomainId>,
    aborted: bool,
}

pub(super) struct Harness {
    pub(super) xen: Model,
    facts: Option<Facts>,
    settings: Settings,
    config: Option<Desired>,
    running: Option<Running>,
    pub(super) delivery: Delivery,
    hints: VecDeque<Millis>,
    watch: Option<DomainId>,
    wake: Option<Time>,
    pub(super) finished: bool,
    pub(super) notes: Vec<String>,
    pub(super) ops: Vec<Op>,
    steps_now: u32,
    /// Someone else's domain may have our uuid.
    pub(super) outsiders: bool,
    /// A status said that the domain has been started.
    pub(super) ever_activated: bool,
    /// The last status published.
    pub(super) published: Option<DomainStatus>,
}

impl Harness {
    pub(super) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(super) fn with(settings: Settings) -> Self {
        let mut harness = Self {
            xen: Model::new(1024),
            facts: None,
            settings,
            config: None,
            running: None,
            delivery: Delivery::default(),
            hints: VecDeque::new(),
            watch: None,
            wake: None,
            finished: true,
            notes: Vec::new(),
            ops: Vec::new(),
            steps_now: 0,
            outsiders: false,
            ever_activated: false,
            published: None,
        };
        harness.xen.outsider(OTHER, "other", None);
        harness
    }

    /// A DomainConfig whose guest behaves like this.
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
        Desired {
            spec: eve::spec(KEY, &config)
                .map(Arc::new)
                .map_err(|e| e.to_string()),
            digest: config.digest(),
            config: Arc::new(config),
        }
    }

    pub(super) fn now(&self) -> Now {
        let since_start = Duration::from_millis(self.xen.now());
        Now {
            mono: Time::new(since_start),
            wall: OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + since_start,
        }
    }

    /// Puts a config into place, or takes it away.
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
            if abort::on_wish(&running.op, &wish) {
                running.aborted = true;
                running.due = self.xen.now();
            }
        }
        self.feed(Input::Wish(wish));
    }

    /// The agent is killed and started again.
    pub(super) fn restart(&mut self) {
        self.running = None;
        self.facts = None;
        self.hints.clear();
        if self.config.is_some() || self.published.is_some() {
            self.start();
        }
    }

    fn start(&mut self) {
        let previous = self.published.as_ref().map(Previous::from_status);
        self.facts = Some(Facts::new(KEY, self.settings.clone(), previous));
        self.finished = false;
        self.watch = None;
        self.wake = None;
        let wish = self.read();
        self.feed(Input::Wish(wish));
    }

    fn read(&self) -> Wish {
        self.config.clone().map_or(Wish::Absent, Wish::Wanted)
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.config.as_ref().is_some_and(|c| c.config.activate)
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

    /// The domain Xen has under our uuid.
    pub(super) fn theirs(&self) -> Option<Seen> {
        self.xen
            .list()
            .into_iter()
            .find(|s| s.id.uuid == KEY && s.life != Life::Dying && !self.xen.is_preserved(s.id))
    }

    /// Does something behind the worker's back, to the domain Xen has under our uuid.
    pub(super) fn outside(&mut self, act: impl FnOnce(&mut Model, DomainId)) {
        if let Some(seen) = self.theirs() {
            act(&mut self.xen, seen.id);
            self.collect();
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
        if !finish {
            self.published = Some(view(&facts));
        }
        assert!(
            effects
                .iter()
                .filter(|e| matches!(e, Effect::Run(..)))
                .count()
                <= 1
        );
        self.facts = Some(facts);
        for effect in effects {
            match effect {
                Effect::Note(_, text) => self.notes.push(text),
                Effect::Watch(id) => self.watch = Some(id),
                Effect::Unwatch => self.watch = None,
                Effect::Wake(at) => self.wake = at,
                Effect::Run(op, deadline) => {
                    assert!(!busy && self.running.is_none(), "two operations at once");
                    self.begin(op, deadline);
                }
                Effect::Finish => {
                    assert!(self.config.is_none(), "ended although there is a config");
                    self.finished = true;
                    self.published = None;
                    self.watch = None;
                }
            }
        }
        if self.finished {
            self.facts = None;
            self.running = None;
        }
        self.check();
    }

    /// What must hold at every moment.
    fn check(&mut self) {
        let running = self
            .xen
            .list()
            .iter()
            .filter(|s| s.id.uuid == KEY && s.life == Life::Running)
            .count();
        assert!(running <= 1 || self.outsiders, "two copies run");
        if let Some(status) = &self.published {
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
        let mut failed = None;
        match &op {
            Op::Create(spec) => {
                assert_eq!(self.xen.live(KEY), 0, "created beside another");
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
                assert!(
                    !(suspended && self.is_wanted()),
                    "a suspended domain is destroyed although it should run: {:?}",
                    self.notes
                );
                match self.xen.begin_destroy(*id) {
                    Ok(millis) => takes = millis,
                    Err(e) => failed = Some(e),
                }
            }
            Op::Shutdown(id) => match self.xen.request_shutdown(*id) {
                Ok(Answer::Yes) => takes = 5,
                Ok(Answer::Never) => {
                    takes = 60_000;
                    failed = Some(Error::new(ErrorKind::TimedOut, "no acknowledgement"));
                }
                Err(e) => failed = Some(e),
            },
            Op::CoreDump(_) | Op::SoftReset(..) => takes = 100,
            Op::Look(_) | Op::Unpause(_) | Op::PowerButton(_) | Op::Preserve(..) => {}
        }
        if !matches!(op, Op::Look(_)) {
            self.ops.push(op.clone());
        }
        let allowed = deadline.map_or(Millis::MAX, |d| Millis::try_from(d.as_millis()).unwrap());
        let times_out = takes > allowed;
        self.running = Some(Running {
            op,
            due: now + takes.min(allowed),
            times_out,
            created,
            aborted: false,
        });
        if takes == 0 {
            self.end(failed);
        } else if let Some(e) = failed {
            // It fails in the end, for this reason.
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
            Op::Look(Scope::All) => Outcome::Looked(Ok(self
                .xen
                .list()
                .into_iter()
                .filter(|s| s.id.uuid == KEY)
                .collect())),
            Op::Look(Scope::One(id)) => {
                Outcome::Looked(Ok(self.xen.info(*id).into_iter().collect()))
            }
            Op::Create(spec) => Outcome::Created(match (error, running.created) {
                (Some(e), _) => Err(e),
                (None, Some(id)) => self.xen.end_create(id, &spec.name).map(|()| id),
                (None, None) => Err(Error::new(ErrorKind::Other, "nothing was created")),
            }),
            op => Outcome::Ended(match error {
                Some(e) => Err(e),
                None => match op {
                    Op::Unpause(id) => self.xen.unpause(*id),
                    Op::PowerButton(id) => self.xen.power_button(*id),
                    Op::Destroy(id) => self.xen.end_destroy(*id),
                    Op::Preserve(id, suffix) => self.xen.preserve(*id, suffix),
                    Op::SoftReset(id, _) => self.xen.soft_reset(*id),
                    _ => Ok(()),
                },
            }),
        };
        self.collect();
        self.feed(Input::Done(outcome));
    }

    /// Turns what happened into hints.
    fn collect(&mut self) {
        let touched = self.xen.take_touched();
        let ours = self.watch.is_some_and(|id| touched.contains(&id.domid));
        if !ours || self.delivery.lost {
            return;
        }
        let due = self.xen.now() + self.delivery.delay;
        for _ in 0..if self.delivery.doubled { 2 } else { 1 } {
            self.hints.push_back(due);
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
                self.hints.iter().min().copied(),
                wake,
                self.xen.next_due(),
            ]
            .into_iter()
            .flatten()
            .min()
            .filter(|due| *due <= end);
            let Some(due) = due else { break };
            if due > now {
                self.steps_now = 0;
            }
            self.xen.advance(due.max(now));
            self.collect();
            let now = self.xen.now();
            if self.running.as_ref().is_some_and(|r| r.due <= now) {
                self.end(None);
            } else if let Some(i) = self.hints.iter().position(|h| *h <= now) {
                self.hints.remove(i);
                if let Some(running) = &mut self.running {
                    if abort::on_hint(&running.op) {
                        running.aborted = true;
                        running.due = now;
                    }
                }
                self.feed(Input::Hint);
            } else if wake.is_some_and(|w| w <= now) && self.running.is_none() {
                self.wake = None;
                self.feed(Input::Timer);
            }
        }
        self.steps_now = 0;
        self.xen.advance(end);
        self.collect();
    }

    /// Lets time pass, with a resync every 30 s.
    pub(super) fn fair(&mut self, minutes: u64) {
        self.delivery = Delivery::default();
        for _ in 0..2 * minutes {
            self.advance(30_000);
            if self.facts.is_some() {
                self.hint();
            }
        }
    }
}
