//! The pure core: everything the agent decides about one domain.
//!
//! [`step`] takes the facts and one input, and returns new facts and the effects to run. It does no I/O, reads no
//! clock, starts no thread and logs nothing, so every decision can be tested without Xen.
//!
//! Facts are stored; decisions are derived from them after each input. The most important rules:
//!
//! * Events are [`Input::Hint`]s: a hint only makes the core look at Xen.
//! * A domain is created only after a look at all domains, newer than any hint or operation, has found none with our
//!   uuid.
//! * A suspended domain has not ended: no timer runs, and only a wish to stop ends it. The only suspended domain to be
//!   resumed is one that was suspended here, for a save that came to nothing.
//! * A domain that an outsider ended may live on elsewhere: only a newer wish builds it again.
//! * At most one operation is outstanding.

pub mod abort;
mod adopt;
mod belief;
mod changing;
mod devices;
mod disks;
mod ends;
mod facts;
mod gone;
mod halting;
mod history;
mod looks;
mod op;
mod order;
mod pace;
mod reasons;
mod record;
mod reserved;
mod saving;
mod screen;
mod sibling;
mod starved;
#[cfg(test)]
mod tests;
mod time;
mod view;
mod wishes;

use std::sync::Arc;
use std::time::Duration;

pub use self::belief::Belief;
use self::facts::{Backoff, Domain, Rest, Want};
pub use self::facts::{Desired, Facts, Wish};
pub use self::history::Event;
pub use self::op::{Op, Scope};
pub use self::order::{Answer, Given, Hold, Order, Until};
pub use self::record::{Inherited, Record};
use self::reserved::Holding;
pub use self::time::{Now, Time};
pub use self::view::view;
use crate::disks::{Copies, Progress};
use crate::settings::Settings;
use crate::spec::{Assigned, Spec};
use crate::toolstack::{DomainId, Error, ErrorKind, Life, Seen, ShutdownReason};

/// Number of attempts to boot before the boot counts as failed.
const TRIES: u32 = 3;
/// Pause between two attempts to boot.
const TRY_PAUSE: Duration = Duration::from_secs(5);
/// Pause before the next look at something that only others can change.
const LOOK_PAUSE: Duration = Duration::from_secs(5);

/// Something that a worker has learned: the input of [`step`].
#[derive(Clone, Debug)]
pub enum Input {
    /// The DomainConfig file was read.
    Wish(Wish),
    /// The settings changed.
    Settings(Settings),
    /// An operator has given an order. [`Effect::Answer`] answers it.
    Order(Given),
    /// Something may have happened to the domain.
    Hint,
    /// The domains that Xen has under our uuid differ from the worker's [`Belief`].
    Resync,
    /// Something that was refused because others had it may be available now.
    Freed,
    /// The time of the last [`Effect::Wake`] has come.
    Timer,
    /// Progress of the outstanding operation, which copies an image.
    Progress(Progress),
    /// The outstanding operation ended.
    Done(Outcome),
}

/// A domain that was created or restored.
#[derive(Clone, Debug)]
pub struct Built {
    /// The domain.
    pub id: DomainId,
    /// Memory of the domain in KiB; 0 if unknown.
    pub memory_kib: u64,
    /// Warnings about what the domain was given, with the host as it was then.
    pub doubts: Vec<String>,
}

/// Result of an operation.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// [`Op::Look`].
    Looked(Result<Vec<Seen>, Error>),
    /// [`Op::Disks`]: the spec with every path in it.
    Disks(Result<Arc<Spec>, Error>),
    /// [`Op::Reserve`].
    Reserved(Result<Assigned, Error>),
    /// [`Op::Create`], [`Op::Restore`].
    Created(Result<Built, Error>),
    /// [`Op::Screen`]: the number of the display.
    Screen(Result<Option<u32>, Error>),
    /// [`Op::Devices`]: descriptions of the devices that the guest has not connected to.
    Devices(Result<Vec<String>, Error>),
    /// Any other operation.
    Ended(Result<(), Error>),
}

impl Outcome {
    /// Returns the error, if the operation failed.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Looked(result) => result.as_ref().err(),
            Self::Disks(result) => result.as_ref().err(),
            Self::Reserved(result) => result.as_ref().err(),
            Self::Created(result) => result.as_ref().err(),
            Self::Devices(result) => result.as_ref().err(),
            Self::Screen(result) => result.as_ref().err(),
            Self::Ended(result) => result.as_ref().err(),
        }
    }
}

/// Severity of an [`Effect::Note`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Normal operation.
    Info,
    /// Something went wrong and is being dealt with.
    Warn,
}

/// Effect of a step, for the worker to carry out. Effects are carried out in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write this text to the log.
    Note(Level, String),
    /// Add this event to the domain's history. It is made durable together with the facts.
    Event(Event),
    /// Answer the order with this number.
    Answer(u64, Answer),
    /// Send hints about this domain, and only this one, from now on.
    Watch(DomainId),
    /// Send no more hints.
    Unwatch,
    /// Run this operation, within this time if one is given, and report its [`Outcome`].
    Run(Op, Option<Duration>),
    /// Send [`Input::Timer`] at this time; `None`: never.
    Wake(Option<Time>),
    /// Remove every file about the key and end the worker.
    Finish,
}

/// The next action of a worker that has no outstanding operation.
enum Next {
    Run(Op),
    Wait(Option<Time>),
    Finish,
}

/// Context of one step: the present time, and the effects so far.
struct Ctx {
    now: Now,
    effects: Vec<Effect>,
}

impl Ctx {
    fn info(&mut self, text: impl Into<String>) {
        self.effects.push(Effect::Note(Level::Info, text.into()));
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.effects.push(Effect::Note(Level::Warn, text.into()));
    }

    /// Records an error for the DomainStatus, and logs it.
    fn fail(&mut self, f: &mut Facts, text: String) {
        self.warn(text.clone());
        f.error = Some((text, self.now.wall));
    }
}

/// Takes one input. Returns the new facts and the effects to carry out.
#[must_use]
pub fn step(now: Now, mut facts: Facts, input: Input) -> (Facts, Vec<Effect>) {
    let mut cx = Ctx {
        now,
        effects: Vec::new(),
    };
    match input {
        Input::Wish(wish) => wishes::wished(&mut cx, &mut facts, wish),
        Input::Settings(settings) => facts.settings = settings,
        Input::Order(given) => order::given(&mut cx, &mut facts, given),
        // The state may have changed since the timer was set, so a look comes before anything is done.
        Input::Hint | Input::Timer => {
            facts.stale = true;
            facts.clear = false;
            if facts.domain.is_none() {
                facts.look_wide = true;
            }
        }
        Input::Resync => {
            facts.stale = true;
            facts.clear = false;
            facts.look_wide = true;
        }
        Input::Progress(progress) => facts.progress = Some(progress),
        Input::Freed => {
            reserved::news(&mut facts);
            if std::mem::take(&mut facts.in_use) {
                wishes::try_again(&mut facts);
            }
        }
        Input::Done(outcome) => done(&mut cx, &mut facts, outcome),
    }
    changing::absorb(&mut facts);
    order::hear(&mut cx, &mut facts);
    if facts.outstanding.is_none() {
        match next(&mut cx, &mut facts) {
            Next::Run(op) => {
                let deadline = deadline(&facts, now.mono, &op);
                facts.outstanding = Some(op.clone());
                cx.effects.push(Effect::Run(op, deadline));
            }
            Next::Wait(until) => {
                wishes::settle(&mut facts);
                cx.effects.push(Effect::Wake(until));
            }
            Next::Finish => cx.effects.push(Effect::Finish),
        }
    }
    order::settle(&mut cx, &mut facts);
    history::tell(&mut cx, &mut facts);
    (facts, cx.effects)
}

fn deadline(f: &Facts, now: Time, op: &Op) -> Option<Duration> {
    match op {
        Op::Shutdown(_) | Op::PowerButton(_) => f.halt.as_ref().map(|h| h.until.since(now)),
        // The deadline doubles with each failure: a destroy that needs longer than its deadline would never end.
        Op::Destroy(_) => Some(
            f.settings
                .destroy
                .saturating_mul(1 << f.destroying.failures.min(6)),
        ),
        _ => None,
    }
}

fn done(cx: &mut Ctx, f: &mut Facts, outcome: Outcome) {
    let Some(op) = f.outstanding.take() else {
        return;
    };
    if !matches!(op, Op::Look(_) | Op::Devices(_) | Op::Screen(_)) {
        // Whatever the outcome, only a look tells the present state.
        f.stale = true;
        f.clear = false;
    }
    f.progress = None;
    if let Some(e) = starved::failure(&outcome) {
        starved::again(cx, f, op, e);
        return;
    }
    if !matches!(op, Op::Look(_)) {
        starved::over(f);
    }
    match (op, outcome) {
        (Op::Disks(spec, ..), Outcome::Disks(result)) => disks::prepared(cx, f, spec, result),
        (Op::Discard(_), Outcome::Ended(result)) => disks::discarded(cx, f, result),
        (Op::Devices(_), Outcome::Devices(result)) => devices::looked(f, cx.now.mono, result),
        (Op::Screen(_), Outcome::Screen(result)) => screen::looked(f, result),
        (Op::Look(scope), Outcome::Looked(result)) => looks::looked(cx, f, scope, result),
        (Op::Create(spec), Outcome::Created(Ok(built))) => created(cx, f, spec, built, false),
        (Op::Restore(spec), Outcome::Created(Ok(built))) => created(cx, f, spec, built, true),
        (Op::Reserve(spec), Outcome::Reserved(result)) => reserved::reserved(cx, f, &spec, result),
        (Op::Release, Outcome::Ended(_)) => reserved::released(f),
        (Op::Create(spec) | Op::Restore(spec), Outcome::Created(Err(e))) => {
            f.look_wide = true;
            f.create_failed = Some(spec.name.clone());
            boot_failed(cx, f, &e);
        }
        (Op::Unpause(_), Outcome::Ended(result)) => unpaused(cx, f, result),
        (Op::Pause(_), Outcome::Ended(result)) => order::paused(cx, f, result),
        (Op::Change(_, _, _, after), Outcome::Ended(result)) => {
            changing::made(cx, f, after, result);
        }
        (Op::Save(_), Outcome::Ended(result)) => order::saved(cx, f, result),
        (Op::Resume(_), Outcome::Ended(result)) => saving::resumed(cx, f, result),
        (Op::DiscardSaved, Outcome::Ended(result)) => {
            if let Err(e) = result {
                cx.warn(format!("a file of a saved domain cannot be removed: {e}"));
            }
        }
        (Op::Shutdown(_), Outcome::Ended(result)) => halting::asked(cx, f, result),
        (Op::PowerButton(_), Outcome::Ended(result)) => halting::pressed(cx, f, result),
        (Op::Destroy(_), Outcome::Ended(result)) => halting::destroyed(cx, f, result),
        (op, Outcome::Ended(result)) => ends::stepped(cx, f, &op, result),
        (op, _) => cx.warn(format!(
            "{} ended as something else; looking again",
            op.word()
        )),
    }
}

/// Takes note of a domain that has been built, and is paused.
fn created(cx: &mut Ctx, f: &mut Facts, spec: Arc<Spec>, built: Built, restored: bool) {
    let id = built.id;
    f.has_run = true;
    f.stale = false;
    f.domain = Some(Domain {
        memory_kib: built.memory_kib,
        doubts: built.doubts,
        name: Some(spec.name.clone()),
        spec: Some(spec),
        restored,
        ..Domain::new(id, Life::Paused, cx.now.mono)
    });
    let how = if restored { "restored" } else { "created" };
    cx.info(format!("domain {id} {how}"));
    cx.effects.push(Effect::Watch(id));
}

fn unpaused(cx: &mut Ctx, f: &mut Facts, result: Result<(), Error>) {
    if order::unpaused(cx, f, &result) {
        return;
    }
    let Some(domain) = &mut f.domain else {
        return;
    };
    match result {
        Ok(()) if domain.started => {}
        Ok(()) => started(cx, f),
        Err(e) if domain.started => {
            cx.warn(format!("domain {} cannot be unpaused: {e}", domain.id));
            if let Some(halt) = &mut f.halt {
                halt.stage = halting::Stage::Destroy;
            }
        }
        Err(e) => {
            // The domain was built but cannot be started: nothing of it may stay.
            domain.leftover = true;
            let e = Error::new(e.kind, format!("unpause: {e}"));
            boot_failed(cx, f, &e);
        }
    }
}

/// Takes note that the domain runs for the first time.
fn started(cx: &mut Ctx, f: &mut Facts) {
    let Some(domain) = &mut f.domain else {
        return;
    };
    domain.started = true;
    domain.maybe_started = false;
    domain.reset = false;
    domain.life = Life::Running;
    domain.since = cx.now.mono;
    let id = domain.id;
    f.restarting = false;
    f.rebuild = None;
    f.boot_failed = false;
    f.tries = f.tries.max(1);
    f.ended = false;
    f.next_retry = None;
    f.error = None;
    f.boot_time = Some(cx.now.wall);
    f.pending = None;
    cx.info(format!("domain {id} running"));
}

/// Takes note of an attempt to boot that failed.
fn boot_failed(cx: &mut Ctx, f: &mut Facts, e: &Error) {
    if e.kind == ErrorKind::Aborted && f.want() != Want::Run {
        cx.info("starting was given up: the wish changed");
        f.rest = Rest::Ready;
        return;
    }
    // A domain that waits for something in use is told when to try again, by `Input::Freed`.
    f.in_use = e.kind == ErrorKind::InUse;
    let hopeless = f.in_use || e.kind == ErrorKind::InvalidConfig;
    let text = if f.tries >= TRIES || hopeless {
        f.boot_failed = true;
        f.restarting = false;
        let pause = f.settings.boot_retry;
        f.rest = Rest::Until(cx.now.mono + pause);
        f.next_retry = Some(cx.now.wall + pause);
        format!("boot failed: {e}")
    } else {
        f.rest = Rest::Until(cx.now.mono + TRY_PAUSE);
        f.next_retry = Some(cx.now.wall + TRY_PAUSE);
        format!("boot try {} of {TRIES} failed: {e}", f.tries)
    };
    cx.fail(f, text);
}

/// Derives the next action from the facts. May change facts because time has passed.
fn next(cx: &mut Ctx, f: &mut Facts) -> Next {
    let now = cx.now.mono;
    if !f.heard {
        return Next::Wait(None);
    }
    if f.stale {
        if let Some(at) = f.looking.waiting(now) {
            return Next::Wait(Some(at));
        }
        return Next::Run(Op::Look(looks::scope(f)));
    }
    if f.hands_off.is_some() {
        return Next::Wait(None);
    }
    if let Some(at) = f.starved.waiting(now) {
        return Next::Wait(Some(at));
    }
    if f.domain.is_some() {
        with_domain(cx, f)
    } else {
        without_domain(cx, f)
    }
}

fn with_domain(cx: &mut Ctx, f: &mut Facts) -> Next {
    let Some(domain) = &f.domain else {
        return Next::Wait(None);
    };
    if domain.leftover {
        return halting::destroy(cx, f);
    }
    if let Some(reserve) = reserved::for_adopted(f) {
        return reserve;
    }
    if let Some(next) = saving::next(cx, f) {
        return next;
    }
    let Some(domain) = &f.domain else {
        return Next::Wait(None);
    };
    let (id, life, started) = (domain.id, domain.life, domain.started);
    match f.want() {
        Want::Unknown => Next::Wait(None),
        Want::Stop => halting::halt(cx, f),
        // A failed destroy has already taken something from the domain: devices, or the device model.
        Want::Run if f.halt.is_some() && f.destroying.failures > 0 => halting::halt(cx, f),
        Want::Run if f.halt.as_ref().is_some_and(|h| h.asked) => {
            // A request to shut down cannot be withdrawn: the domain goes down, and is built anew. But a suspended
            // domain belongs to another toolstack, unless it is to stop.
            if life == Life::Shutdown(ShutdownReason::SUSPEND) {
                return Next::Wait(None);
            }
            halting::halt(cx, f)
        }
        Want::Run => {
            f.halt = None;
            if f.exit.is_some() {
                return ends::go_on(cx, f);
            }
            if let Some(ordered) = order::next(f).or_else(|| changing::next(f)) {
                return ordered;
            }
            let Some(domain) = &f.domain else {
                return Next::Wait(None);
            };
            match life {
                _ if !started => match f.rest {
                    Rest::Until(at) if at > cx.now.mono => Next::Wait(Some(at)),
                    _ => {
                        saving::about_to_run(f);
                        Next::Run(Op::Unpause(id))
                    }
                },
                _ if f.forget_saved => saving::tidy(f).map_or(Next::Wait(None), Next::Run),
                Life::Paused | Life::Running if ends::wants_its_model(f) => {
                    ends::begin_without_model(cx, f);
                    ends::go_on(cx, f)
                }
                Life::Paused => Next::Wait(looks::broken_at(domain)),
                Life::Running => screen::look(f)
                    .or_else(|| devices::look(f, cx.now.mono))
                    .unwrap_or_else(|| {
                        let due = devices::due(domain);
                        Next::Wait(looks::broken_at(domain).into_iter().chain(due).min())
                    }),
                Life::Shutdown(ShutdownReason::SUSPEND) | Life::Dying => Next::Wait(None),
                Life::Shutdown(reason) => {
                    ends::begin(cx, f, reason);
                    ends::go_on(cx, f)
                }
            }
        }
    }
}

fn without_domain(cx: &mut Ctx, f: &mut Facts) -> Next {
    let now = cx.now.mono;
    if let Some(op) = saving::tidy(f) {
        return Next::Run(op);
    }
    if f.doubtful && !f.restarting {
        // It is unknown whether the last wish still holds, so nothing is begun. A guest that reboots is not affected.
        return Next::Wait(None);
    }
    match f.want() {
        Want::Unknown => return Next::Wait(None),
        Want::Stop if f.clear => {
            f.restarting = false;
            f.rest = Rest::Ready;
            f.adapters_failed = false;
            f.reserving = Backoff::default();
            if let Some(release) = reserved::release(f) {
                return release;
            }
            // Copies survive a stop by an operator.
            if f.hold.is_none() {
                if let Some(op) = disks::tidy(f, now) {
                    return Next::Run(op);
                }
            }
            return if f.present {
                Next::Wait(f.discarding.waiting(now))
            } else {
                Next::Finish
            };
        }
        Want::Run => {}
        Want::Stop => {}
    }
    let saved = f.saved.as_ref().and_then(|saved| saved.spec.clone());
    let spec = match (&f.rebuild, &f.desired) {
        // A saved domain goes on with the spec that it was built from.
        _ if saved.is_some() => saved,
        (Some(spec), _) if f.restarting => Some(changing::to_build(f, spec)),
        (_, Some(Desired { spec: Ok(spec), .. })) => Some(changing::to_build(f, spec)),
        _ => None,
    };
    if f.want() == Want::Run {
        match f.rest {
            Rest::Ended if f.clear => {
                return reserved::while_resting(f).unwrap_or(Next::Wait(None));
            }
            Rest::Until(at) if at > now && f.clear => {
                return reserved::while_resting(f).unwrap_or(Next::Wait(Some(at)));
            }
            // The domain is not known to be gone. Its adapters stay its own until a look has shown that it is.
            Rest::Ended if f.adapters == Holding::Nothing => return Next::Wait(None),
            Rest::Until(at) if at > now && f.adapters == Holding::Nothing => {
                return Next::Wait(Some(at));
            }
            Rest::Ended => {}
            Rest::Until(at) if at > now => {}
            Rest::Until(_) | Rest::Ready => {}
        }
    }
    if !f.clear {
        f.look_wide = true;
        if let Some(at) = f.looking.waiting(now) {
            return Next::Wait(Some(at));
        }
        return Next::Run(Op::Look(Scope::All));
    }
    match spec {
        None => {
            f.restarting = false;
            reserved::release(f).unwrap_or(Next::Wait(None))
        }
        Some(spec) => {
            if let Some(next) = reserved::before_build(cx, f, &spec) {
                return next;
            }
            let build = if f.saved.is_some() {
                // The saved memory depends on the data that the guest has written to its disks.
                f.copies = Copies::Keep;
                Op::Restore
            } else {
                Op::Create
            };
            if let Some(ready) = disks::ready(f, &spec) {
                return Next::Run(build(reserved::equip(f, ready)));
            }
            f.tries = f.tries.saturating_add(1);
            f.next_retry = None;
            cx.info(format!("starting {}", spec.name));
            Next::Run(if spec.disks.is_empty() {
                build(reserved::equip(f, spec))
            } else {
                disks::make_ready(f, spec)
            })
        }
    }
}
