//! Actions for a domain that has ended.

use serde::{Deserialize, Serialize};

use super::shutdown_reason::ShutdownReason;

/// Action for a domain that has shut down, after xl.cfg's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Destroy it.
    Destroy,
    /// Destroy it and build it again.
    Restart,
    /// Keep it under another name and build a new one.
    RenameRestart,
    /// Keep it.
    Preserve,
    /// Write its memory to a file and destroy it.
    CoredumpDestroy,
    /// Write its memory to a file, destroy it and build it again.
    CoredumpRestart,
    /// Restart it in place. HVM only.
    SoftReset,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 7] = [
        Self::Destroy,
        Self::Restart,
        Self::RenameRestart,
        Self::Preserve,
        Self::CoredumpDestroy,
        Self::CoredumpRestart,
        Self::SoftReset,
    ];

    /// Returns xl.cfg's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Destroy => "destroy",
            Self::Restart => "restart",
            Self::RenameRestart => "rename-restart",
            Self::Preserve => "preserve",
            Self::CoredumpDestroy => "coredump-destroy",
            Self::CoredumpRestart => "coredump-restart",
            Self::SoftReset => "soft-reset",
        }
    }
}

/// The action for each way to end. The defaults are xl's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actions {
    /// The guest powered off.
    pub on_poweroff: Action,
    /// The guest rebooted.
    pub on_reboot: Action,
    /// The guest crashed.
    pub on_crash: Action,
    /// The guest's watchdog fired.
    pub on_watchdog: Action,
    /// The guest wants a soft reset.
    pub on_soft_reset: Action,
    /// The device model (QEMU) has ended, and the guest goes on without it.
    #[serde(default)]
    pub on_device_model_exit: ModelExit,
}

/// Action for a domain whose device model has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelExit {
    /// Leave the domain as it is: it may not need a device model.
    #[default]
    Keep,
    /// Destroy it and build it again.
    Restart,
}

impl Default for Actions {
    fn default() -> Self {
        Self {
            on_poweroff: Action::Destroy,
            on_reboot: Action::Restart,
            on_crash: Action::Destroy,
            on_watchdog: Action::Destroy,
            on_soft_reset: Action::SoftReset,
            on_device_model_exit: ModelExit::Keep,
        }
    }
}

impl Actions {
    /// Returns the action for `reason`. For reasons without a name it is destroy, as in xl.
    ///
    /// A suspend is not an end, and must not be passed: the domain would be kept.
    #[must_use]
    pub fn on(&self, reason: ShutdownReason) -> Action {
        match reason {
            ShutdownReason::POWEROFF => self.on_poweroff,
            ShutdownReason::REBOOT => self.on_reboot,
            ShutdownReason::SUSPEND => Action::Preserve,
            ShutdownReason::CRASH => self.on_crash,
            ShutdownReason::WATCHDOG => self.on_watchdog,
            ShutdownReason::SOFT_RESET => self.on_soft_reset,
            _ => Action::Destroy,
        }
    }
}
