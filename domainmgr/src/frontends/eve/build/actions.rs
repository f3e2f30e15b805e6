//! The actions after the guest has ended, and the resources that a kept domain must not hold.

use super::fields::Result;
use crate::base::field_error::FieldError;
use crate::frontends::eve::config::DomainConfig;
use crate::spec::{Action, Actions, Mode, ModelExit, Spec};

pub(super) fn actions(c: &DomainConfig) -> Result<Actions> {
    let mut actions = Actions {
        on_device_model_exit: match c.on_device_model_exit.as_str() {
            "" | "keep" => ModelExit::Keep,
            "restart" => ModelExit::Restart,
            other => {
                return Err(FieldError::new(
                    "OnDeviceModelExit",
                    format!("expected \"keep\" or \"restart\", found {other:?}"),
                ));
            }
        },
        ..Actions::default()
    };
    for (field, word, slot) in [
        ("OnPoweroff", &c.on_poweroff, &mut actions.on_poweroff),
        ("OnReboot", &c.on_reboot, &mut actions.on_reboot),
        ("OnCrash", &c.on_crash, &mut actions.on_crash),
        ("OnWatchdog", &c.on_watchdog, &mut actions.on_watchdog),
        ("OnSoftReset", &c.on_soft_reset, &mut actions.on_soft_reset),
    ] {
        if word.is_empty() {
            continue;
        }
        // xl takes underscores as well.
        let wanted = word.replace('_', "-");
        *slot = *Action::ALL
            .iter()
            .find(|a| a.word() == wanted)
            .ok_or_else(|| {
                let known: Vec<&str> = Action::ALL.iter().map(|a| a.word()).collect();
                FieldError::new(
                    field,
                    format!("expected one of {}, found {word:?}", known.join(", ")),
                )
            })?;
    }
    Ok(actions)
}

/// Refuses `rename-restart` for a domain that, once kept, holds resources that its successor needs.
pub(super) fn renaming(spec: &Spec) -> Result<()> {
    let Some(why) = kept(spec) else {
        return Ok(());
    };
    let actions = spec.actions;
    let fields = [
        ("OnPoweroff", actions.on_poweroff),
        ("OnReboot", actions.on_reboot),
        ("OnCrash", actions.on_crash),
        ("OnWatchdog", actions.on_watchdog),
        ("OnSoftReset", actions.on_soft_reset),
    ];
    let renames = |(_, action): &&(_, Action)| *action == Action::RenameRestart;
    match fields.iter().find(renames) {
        None => Ok(()),
        Some((field, _)) => Err(FieldError::new(*field, why)),
    }
}

/// Returns the reason why the successor of a kept domain could not start.
fn kept(spec: &Spec) -> Option<&'static str> {
    // Xen gives a device to one domain, and an interrupt to the first that binds it, until that domain is destroyed.
    let interrupts = spec.mode == Mode::Pv && !spec.irqs.is_empty();
    if !spec.adapters.is_empty() || !spec.dt_dev.is_empty() || interrupts {
        return Some(
            "rename-restart keeps the domain, and with it the devices and interrupts of the host that the next domain needs: \
             it can be had only without IoAdapterList and DtDev, and, for a PV domain, without IRQs",
        );
    }
    // A kept HVM domain keeps its device model, and the files that it has open: the successor would write to the same disks.
    let writes = spec.disks.iter().any(|d| !d.read_only);
    let named = spec.nics.iter().any(|nic| nic.vif.is_some());
    let display = spec.vnc.as_ref().is_some_and(|vnc| vnc.display.is_some());
    if (spec.mode == Mode::Hvm && (writes || named)) || display {
        return Some(
            "rename-restart keeps QEMU, which keeps what the next domain needs: it can be had only without a VncDisplay, and, \
             for an HVM domain, without a disk that it writes to and without a Vif",
        );
    }
    None
}
