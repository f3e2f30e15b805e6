//! The `on_*` actions, for a guest that ended on its own although it should run.

use super::context::{Ctx, Next};
use super::effect::Effect;
use super::op::Op;
use super::state::boot::Boot;
use super::state::domain::Domain;
use super::state::exit::{After, Exit, ExitStep};
use super::state::facts::Facts;
use super::state::phase::Phase;
use super::state::sibling::Sibling;
use super::{halting, restart_pause};
use crate::host::disks::Copies;
use crate::spec::{Action, Actions, Mode, ModelExit, Spec};
use crate::toolstack::{DomainId, Error, ErrorKind, Life, ShutdownReason};

/// Maximum number of dead domains that are kept for one key.
///
/// Each keeps its memory, so a guest that crashes again and again would take all the memory of the host.
const KEPT: usize = 3;

/// Returns whether a domain without its device model is to be built again.
pub(super) fn wants_its_model(f: &Facts) -> bool {
    let broken = f.phase.is_started() && f.phase.domain().is_some_and(Domain::is_broken);
    let actions = f.spec().map(|spec| spec.actions).unwrap_or_default();
    broken && actions.on_device_model_exit == ModelExit::Restart
}

/// Begins a restart of the domain, because its device model has ended.
pub(super) fn begin_without_model(cx: &mut Ctx, f: &mut Facts) {
    cx.warn("the device model has ended: restart".to_owned());
    f.past.last_exit = Some("the device model ended".to_owned());
    f.past.last_action = Some(Action::Restart.word().to_owned());
    f.error = None;
    f.phase.ending(Exit {
        // A guest that has lost its disks would crash as well.
        reason: ShutdownReason::CRASH,
        steps: only_destroy(),
        after: After::Restart,
    });
}

/// Chooses the action for a domain that has shut down.
pub(super) fn begin(cx: &mut Ctx, f: &mut Facts, reason: ShutdownReason) {
    let built = f.phase.domain().and_then(|d| d.spec.as_ref());
    let wished = f.wish.desired.as_ref().and_then(|d| d.spec.as_ref().ok());
    let actions = built
        .or(wished)
        .map_or_else(Actions::default, |s| s.actions);
    let mut action = actions.on(reason);
    let kept = f.siblings.iter().filter(|s| s.kept).count();
    let instead = match action {
        Action::RenameRestart if kept >= KEPT => Some(format!("{kept} are kept already")),
        // This happens only with xl files, and with configs that an earlier agent has accepted.
        Action::RenameRestart if built.is_some_and(|spec| has_devices(spec)) => {
            Some("it keeps the PCI devices that the next one needs".to_owned())
        }
        _ => None,
    };
    if let Some(why) = &instead {
        cx.warn(format!(
            "preserve instead of rename-restart: {why}; it is not restarted before a domain that is kept is destroyed"
        ));
        action = Action::Preserve;
    }
    // The domain has nothing that its successor needs.
    let bare = built.is_some_and(|s| s.disks.is_empty() && s.nics.is_empty());
    let (steps, after) = match action {
        Action::Destroy => (only_destroy(), After::End),
        Action::Restart => (only_destroy(), After::Restart),
        Action::RenameRestart if bare => (vec![ExitStep::Preserve], After::Restart),
        Action::RenameRestart => (vec![ExitStep::Preserve, ExitStep::Strip], After::Restart),
        Action::Preserve => (vec![], After::Keep),
        Action::CoredumpDestroy => (vec![ExitStep::Destroy, ExitStep::CoreDump], After::End),
        Action::CoredumpRestart => (vec![ExitStep::Destroy, ExitStep::CoreDump], After::Restart),
        Action::SoftReset => (vec![ExitStep::SoftReset], After::Restart),
    };
    cx.info(format!("{reason}: {}", action.word()));
    f.past.last_exit = Some(reason.to_string());
    f.past.last_action = Some(match instead {
        Some(why) => format!("preserve instead of rename-restart: {why}"),
        None => action.word().to_owned(),
    });
    f.phase.ending(Exit {
        reason,
        steps,
        after,
    });
    if action == Action::SoftReset {
        if let Some(why) = no_soft_reset(f.mode(), reason) {
            restart_instead(cx, f, why);
        }
    }
}

/// Returns whether a domain built from `spec` has devices of the host, which no other domain can have.
fn has_devices(spec: &Spec) -> bool {
    let given = spec.given.as_ref();
    !spec.adapters.is_empty() || given.is_some_and(|given| !given.pcidevs.is_empty())
}

/// Returns the reason why a guest that ended like this cannot be reset in place.
///
/// Only a guest that has asked for a soft reset has left something in its memory to go on with.
fn no_soft_reset(mode: Mode, reason: ShutdownReason) -> Option<&'static str> {
    if mode != Mode::Hvm {
        return Some("only an HVM domain can be soft-reset");
    }
    (reason != ShutdownReason::SOFT_RESET).then_some("the guest has not asked for it")
}

/// Returns the next step in dealing with the guest's end.
pub(super) fn go_on(cx: &mut Ctx, f: &mut Facts) -> Next {
    let Phase::Ending(domain, exit) = &f.phase else {
        return Next::Wait(None);
    };
    let id = domain.id;
    match exit.steps.last() {
        None => Next::Wait(None),
        Some(ExitStep::CoreDump) => Next::Run(Op::CoreDump(id)),
        Some(ExitStep::Destroy) => halting::destroy(cx, f),
        Some(ExitStep::Strip) => Next::Run(Op::Strip(id)),
        Some(ExitStep::Preserve) => {
            let stamp = cx.now.wall;
            let suffix = format!(
                "-{:04}{:02}{:02}T{:02}{:02}{:02}Z.{id}",
                stamp.year(),
                u8::from(stamp.month()),
                stamp.day(),
                stamp.hour(),
                stamp.minute(),
                stamp.second()
            );
            Next::Run(Op::Preserve(id, suffix))
        }
        Some(ExitStep::SoftReset) => {
            let spec = domain
                .spec
                .clone()
                .or_else(|| f.wish.desired.as_ref().and_then(|d| d.spec.clone().ok()));
            match spec {
                Some(spec) => Next::Run(Op::SoftReset(id, spec)),
                None => {
                    restart_instead(cx, f, "nobody knows what it was built from");
                    halting::destroy(cx, f)
                }
            }
        }
    }
}

/// Handles the result of a step. The domain may have begun to be brought down meanwhile.
pub(super) fn stepped(cx: &mut Ctx, f: &mut Facts, op: &Op, result: Result<(), Error>) {
    let Some(id) = f.domain() else { return };
    let gone = |e: &Error| e.kind == ErrorKind::NotFound;
    if result.as_ref().is_err_and(gone) {
        return;
    }
    match op {
        Op::CoreDump(_) => dumped(cx, f, id, result),
        Op::SoftReset(..) => reset(cx, f, id, result),
        Op::Strip(_) => stripped(cx, f, id, result),
        Op::Preserve(_, suffix) => preserved(cx, f, id, suffix, result),
        _ => {}
    }
}

/// Adds to the description of the last action.
fn add_to_action(f: &mut Facts, more: &str) {
    let action = f.past.last_action.take().unwrap_or_default();
    f.past.last_action = Some(format!("{action}{more}"));
}

fn dumped(cx: &mut Ctx, f: &mut Facts, id: DomainId, result: Result<(), Error>) {
    if let Some(exit) = f.phase.exit_mut() {
        exit.steps.pop();
    }
    if let Err(e) = result {
        add_to_action(f, &format!(", without a core dump: {e}"));
        cx.fail(f, format!("no core dump of domain {id}: {e}"));
    }
}

fn reset(cx: &mut Ctx, f: &mut Facts, id: DomainId, result: Result<(), Error>) {
    match result {
        Ok(()) => {
            let Some(domain) = f.phase.domain_mut() else {
                return;
            };
            cx.info(format!("domain {id} was soft-reset"));
            domain.life = Life::Paused;
            let since = domain.since;
            f.phase.soft_reset();
            f.past.restarts = f.past.restarts.saturating_add(1);
            // The source of events has reported its one shutdown, so it must be set anew.
            cx.effects.push(Effect::Watch(id));
            restart_pause::before_restart(cx, f, since);
        }
        // The wish changed: the domain is not restarted in any way.
        Err(e) if e.kind == ErrorKind::Aborted => {}
        Err(e) => restart_instead(cx, f, &e.to_string()),
    }
}

fn stripped(cx: &mut Ctx, f: &mut Facts, id: DomainId, result: Result<(), Error>) {
    if let Some(exit) = f.phase.exit_mut() {
        exit.steps.pop();
    }
    let without = match result {
        Ok(()) => "the one that is kept has given its disks and interfaces to the next".to_owned(),
        Err(e) => {
            let why = format!("domain {id} keeps disks or interfaces that the next one needs: {e}");
            cx.warn(why.clone());
            why
        }
    };
    add_to_action(f, &format!(": {without}"));
}

fn preserved(cx: &mut Ctx, f: &mut Facts, id: DomainId, suffix: &str, result: Result<(), Error>) {
    match result {
        Ok(()) => {
            cx.info(format!("domain {id} is kept, as …{suffix}"));
            cx.effects.push(Effect::Unwatch);
            let Some(domain) = f.phase.down(Boot::default()).into_domain() else {
                return;
            };
            f.phase.down(Boot::again(domain.spec));
            f.siblings.push(Sibling {
                id,
                name: domain.name.map(|name| name + suffix),
                life: domain.life,
                kept: true,
            });
            f.past.boot_time = None;
            f.disks.copies = Copies::Keep;
            f.past.restarts = f.past.restarts.saturating_add(1);
            f.past.tries = 0;
            f.looks.wide = true;
            restart_pause::before_restart(cx, f, domain.since);
        }
        Err(e) => {
            // Two domains cannot have one name: the dead one stays, as with xl.
            if let Some(exit) = f.phase.exit_mut() {
                exit.steps.clear();
                exit.after = After::Keep;
            }
            f.past.last_action = Some(format!("preserve instead of rename-restart: {e}"));
            cx.fail(
                f,
                format!("domain {id} cannot be renamed, so it is not restarted: {e}"),
            );
        }
    }
}

/// Restarts the domain instead of an impossible soft reset. The guest gets a new domain, as it would for a reboot.
fn restart_instead(cx: &mut Ctx, f: &mut Facts, why: &str) {
    let Some(exit) = f.phase.exit_mut() else {
        return;
    };
    exit.steps = only_destroy();
    exit.after = After::Restart;
    cx.warn(format!("no soft reset, restarting instead: {why}"));
    f.past.last_action = Some(format!("restart instead of soft-reset: {why}"));
}

fn only_destroy() -> Vec<ExitStep> {
    vec![ExitStep::Destroy]
}
