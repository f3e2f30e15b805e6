//! Behaviour of a simulated guest, as set by the words of its command line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::spec::ShutdownReason;

/// Milliseconds of simulated time.
pub type Millis = u64;

/// Behaviour of a guest. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guest {
    pub(super) act: Option<u8>,
    pub(super) after: Millis,
    pub(super) once: bool,
    pub(super) stop: Millis,
    pub(super) stubborn: bool,
    /// Time that the guest boots before its drivers are up; `None`: they are up, and hear nothing.
    pub(super) boot: Option<Millis>,
    pub(super) pv: bool,
    /// Time that the guest runs before it connects to its devices.
    #[serde(default)]
    pub(super) blind: Millis,
    pub(super) create: Millis,
    pub(super) destroy: Millis,
    /// Time for which the domain has its domid and its memory after it was destroyed.
    #[serde(default)]
    pub(super) dying: Millis,
    pub(super) fail_create: u32,
    pub(super) fail_unpause: u32,
    #[serde(default)]
    pub(super) fail_watch: u32,
    pub(super) fail_destroy: u32,
    #[serde(default)]
    pub(super) fail_attach: u32,
    /// The guest does not release its devices.
    #[serde(default)]
    pub(super) clings: bool,
    /// The guest has no balloon driver.
    #[serde(default)]
    pub(super) rigid: bool,
    /// Least memory that the guest can do with, in MiB.
    #[serde(default)]
    pub(super) least_mib: u64,
    /// The guest goes on using all of its vCPUs.
    #[serde(default)]
    pub(super) keeps_cpus: bool,
    pub(super) litter: bool,
    pub(super) fail_soft_reset: bool,
    /// The guest suspends through an event channel, which only the requester hears.
    pub(super) event_channel: bool,
}

/// Answer of a guest to a shutdown request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The guest acknowledges the request after this time.
    In(Millis),
    /// The guest does not acknowledge the request before libxl takes it back.
    Never,
}

/// Time that a guest boots by default.
const BOOT: Millis = 500;
/// Time that libxl waits for a guest to acknowledge a request.
pub const ACK: Millis = 60_000;

impl Guest {
    /// Reads the words of a command line.
    #[must_use]
    pub fn from_cmdline(cmdline: &str) -> Self {
        let words: BTreeMap<&str, &str> = cmdline
            .split_whitespace()
            .map(|w| w.split_once('=').unwrap_or((w, "")))
            .collect();
        let flag = |word: &str| words.contains_key(word);
        let millis = |word: &str, default: Millis| {
            words
                .get(word)
                .and_then(|v| decimal_millis(v))
                .unwrap_or(default)
        };
        let count = |word: &str| words.get(word).and_then(|v| v.parse().ok()).unwrap_or(0);
        let act = match words.get("lab.action") {
            Some(&"poweroff") => Some(ShutdownReason::POWEROFF.0),
            Some(&"reboot") => Some(ShutdownReason::REBOOT.0),
            Some(&"crash") => Some(ShutdownReason::CRASH.0),
            _ => None,
        };
        Self {
            act: words.get("sim.reason").and_then(|v| v.parse().ok()).or(act),
            after: millis("lab.after", 3000),
            once: flag("sim.once"),
            stop: millis("sim.stop", 1000),
            stubborn: flag("sim.stubborn"),
            boot: match words.get("sim.deaf") {
                None => Some(BOOT),
                Some(seconds) => decimal_millis(seconds),
            },
            pv: !flag("sim.nopv"),
            blind: match words.get("sim.blind") {
                None => 0,
                Some(seconds) => decimal_millis(seconds).unwrap_or(Millis::MAX),
            },
            create: millis("sim.create", 200),
            destroy: millis("sim.destroy", 200),
            dying: millis("sim.dying", 50),
            fail_create: count("sim.fail-create"),
            fail_unpause: count("sim.fail-unpause"),
            fail_watch: count("sim.fail-watch"),
            fail_destroy: count("sim.fail-destroy"),
            fail_attach: count("sim.fail-attach"),
            clings: flag("sim.clings"),
            rigid: flag("sim.noballoon"),
            least_mib: words
                .get("sim.least")
                .and_then(|v| v.parse().ok())
                .unwrap_or(16),
            keeps_cpus: flag("sim.cpus"),
            litter: flag("sim.litter"),
            fail_soft_reset: flag("sim.fail-soft-reset"),
            event_channel: flag("sim.evtchn"),
        }
    }
}

/// Converts seconds to milliseconds: `1.25` to 1250.
fn decimal_millis(text: &str) -> Option<Millis> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part = format!("{part:0<3}");
    let millis: Millis = part.get(..3)?.parse().ok()?;
    whole
        .parse::<Millis>()
        .ok()?
        .checked_mul(1000)?
        .checked_add(millis)
}
