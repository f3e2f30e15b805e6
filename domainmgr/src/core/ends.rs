//! The `on_*` actions, for a guest that ended on its own although it should run.

use super::facts::{After, Domain, Exit, ExitStep, Facts};
use super::sibling::Sibling;
use super::{Ctx, Effect, Next, Op, halting, pace};
use crate::disks::Copies;
use crate::spec::{Action, Actions, Mode, ModelExit, Spec};
use crate::toolstack::{Error, ErrorKind, Life, Seen, ShutdownReason};

/// Maximum number of dead domains that are kept for one key.
///
/// Each keeps its memory, so a guest that crashes again and again would take all the memory of the host.
const KEPT: usize = 3;

/// Returns whether a domain without its device model is to be built again.
pub(super) fn wants_its_model(f: &Facts) -> bool {
    let broken = f.domain.as_ref().is_some_and(|d| d.broken && d.started);
    let actions = f.spec().map(|spec| spec.actions).unwrap_or_default();
    broken && actions.on_device_model_exit == ModelExit::Restart
}

/// Begins a restart of the domain, because its device model has ended.
pub(super) fn begin_without_model(cx: &mut Ctx, f: &mut Facts) {
    cx.warn("the device model has ended: restart".to_owned());
    f.last_exit = Some("the device model ended".to_owned());
    f.last_action = Some(Action::Restart.word().to_owned());
    f.error = None;
    f.exit = Some(Exit {
        // A guest that has lost its disks would crash as well.
        reason: ShutdownReason::CRASH,
        steps: only_destroy(),
        after: After::Restart,
    });
}

/// Chooses the action for a domain that has shut down.
pub(super) fn begin(cx: &mut Ctx, f: &mut Facts, reason: ShutdownReason) {
    let built = f.domain.as_ref().and_then(|d| d.spec.as_ref());
    let wished = f.desired.as_ref().and_then(|d| d.spec.as_ref().ok());
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
    f.last_exit = Some(reason.to_string());
    f.last_action = Some(match instead {
        Some(why) => format!("preserve instead of rename-restart: {why}"),
        None => action.word().to_owned(),
    });
    f.exit = Some(Exit {
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
    let (Some(domain), Some(exit)) = (&f.domain, &f.exit) else {
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
                .or_else(|| f.desired.as_ref().and_then(|d| d.spec.clone().ok()));
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

/// Returns the suffix that an earlier run of the agent was about to add to the domain's name, if it came to do so.
pub(super) fn was_renamed(domain: &mut Domain, seen: &Seen) -> Option<String> {
    let suffix = domain.renaming.take()?;
    let old = seen.name.as_deref()?.strip_suffix(suffix.as_str())?;
    domain.name = Some(old.to_owned());
    domain.life = seen.life;
    Some(suffix)
}

/// Handles the result of a step.
pub(super) fn stepped(cx: &mut Ctx, f: &mut Facts, op: &Op, result: Result<(), Error>) {
    let (Some(domain), Some(exit)) = (&mut f.domain, &mut f.exit) else {
        return;
    };
    let id = domain.id;
    if result
        .as_ref()
        .is_err_and(|e| e.kind == ErrorKind::NotFound)
    {
        return;
    }
    match (op, result) {
        (Op::CoreDump(_), result) => {
            exit.steps.pop();
            if let Err(e) = result {
                let action = f.last_action.take().unwrap_or_default();
                f.last_action = Some(format!("{action}, without a core dump: {e}"));
                cx.fail(f, format!("no core dump of domain {id}: {e}"));
            }
        }
        (Op::SoftReset(..), Ok(())) => {
            cx.info(format!("domain {id} was soft-reset"));
            domain.started = false;
            domain.reset = true;
            domain.life = Life::Paused;
            let since = domain.since;
            f.exit = None;
            f.restarts = f.restarts.saturating_add(1);
            // The source of events has reported its one shutdown, so it must be set anew.
            cx.effects.push(Effect::Watch(id));
            pace::before_restart(cx, f, since);
        }
        // The wish changed: the domain is not restarted in any way.
        (Op::SoftReset(..), Err(e)) if e.kind == ErrorKind::Aborted => {}
        (Op::SoftReset(..), Err(e)) => restart_instead(cx, f, &e.to_string()),
        (Op::Strip(_), result) => {
            exit.steps.pop();
            let without = match result {
                Ok(()) => {
                    "the one that is kept has given its disks and interfaces to the next".to_owned()
                }
                Err(e) => {
                    let why = format!(
                        "domain {id} keeps disks or interfaces that the next one needs: {e}"
                    );
                    cx.warn(why.clone());
                    why
                }
            };
            let action = f.last_action.take().unwrap_or_default();
            f.last_action = Some(format!("{action}: {without}"));
        }
        (Op::Preserve(_, suffix), Ok(())) => {
            cx.info(format!("domain {id} is kept, as …{suffix}"));
            cx.effects.push(Effect::Unwatch);
            let Some(domain) = f.domain.take() else {
                return;
            };
            f.siblings.push(Sibling {
                id,
                name: domain.name.map(|name| name + suffix),
                life: domain.life,
                kept: true,
            });
            f.exit = None;
            f.boot_time = None;
            f.restarting = true;
            f.copies = Copies::Keep;
            f.rebuild = domain.spec;
            f.restarts = f.restarts.saturating_add(1);
            f.tries = 0;
            f.look_wide = true;
            pace::before_restart(cx, f, domain.since);
        }
        (Op::Preserve(..), Err(e)) => {
            // Two domains cannot have one name: the dead one stays, as with xl.
            exit.steps.clear();
            exit.after = After::Keep;
            f.last_action = Some(format!("preserve instead of rename-restart: {e}"));
            cx.fail(
                f,
                format!("domain {id} cannot be renamed, so it is not restarted: {e}"),
            );
        }
        _ => {}
    }
}

/// Restarts the domain instead of an impossible soft reset. The guest gets a new domain, as it would for a reboot.
fn restart_instead(cx: &mut Ctx, f: &mut Facts, why: &str) {
    if let Some(exit) = &mut f.exit {
        exit.steps = only_destroy();
        exit.after = After::Restart;
    }
    cx.warn(format!("no soft reset, restarting instead: {why}"));
    f.last_action = Some(format!("restart instead of soft-reset: {why}"));
}

fn only_destroy() -> Vec<ExitStep> {
    vec![ExitStep::Destroy]
}
