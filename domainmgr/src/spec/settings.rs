//! Settings of an operator: GlobalConfig, and `--config KEY:VALUE`, which overrides GlobalConfig.

use std::fmt;
use std::time::Duration;

/// Every setting, with its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `timer.boot.retry`: pause after a boot that failed for good. At least 10 s.
    pub boot_retry: Duration,
    /// `timer.shutdown.graceful`: time that a guest has to obey a shutdown request.
    pub graceful: Duration,
    /// `timer.shutdown.forced`: time that the guest has to obey the second, more forceful request.
    pub forced: Duration,
    /// `timer.shutdown.destroy`: time that a destroy may take before it counts as failed and is tried again.
    pub destroy: Duration,
    /// `timer.reboot.short`: a guest that reboots sooner than this after its start is slowed down.
    pub short_life: Duration,
    /// `timer.gc.vdisk`: time for which a copy of an image is kept that nobody needs. At least 60 s.
    pub image_gc: Duration,
    /// `timer.metric.interval`: time between measurements of what domains use. At least 5 s.
    pub metric_interval: Duration,
    /// `debug.enable.usb`: whether the host may use USB controllers that no domain has.
    pub usb_access: bool,
    /// `domain.poweroff.policy`: treatment of a guest that ended although it should run.
    pub poweroff_policy: PoweroffPolicy,
    /// `domain.memory.autoballoon`: condition under which dom0 gives memory back for new domains.
    pub autoballoon: Autoballoon,
    /// `domain.vif.offload`: whether guests may leave checksums and the segmentation of large packets to others.
    pub vif_offload: bool,
    /// `debug.default.loglevel`: the log level.
    pub log_level: log::LevelFilter,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            boot_retry: Duration::from_secs(600),
            graceful: Duration::from_secs(60),
            forced: Duration::from_secs(60),
            destroy: Duration::from_secs(60),
            short_life: Duration::from_secs(10),
            image_gc: Duration::from_secs(3600),
            metric_interval: Duration::from_secs(60),
            usb_access: true,
            poweroff_policy: PoweroffPolicy::Halt,
            autoballoon: Autoballoon::Auto,
            vif_offload: false,
            log_level: log::LevelFilter::Info,
        }
    }
}

/// Treatment of a guest that ended although it should run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PoweroffPolicy {
    /// The domain stays down until its DomainConfig changes.
    #[default]
    Halt,
    /// The domain is started again after `timer.boot.retry`.
    Retry,
}

/// Condition under which dom0 gives memory back for new domains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Autoballoon {
    /// Dom0 gives memory back unless Xen's command line sets the memory of dom0 (`dom0_mem=`).
    #[default]
    Auto,
    /// Dom0 gives memory back.
    On,
    /// Dom0 gives no memory back: new domains can have only the memory that Xen has free.
    Off,
}

/// A message about a setting whose value was refused or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint(String);

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Settings {
    /// Minimum of `timer.boot.retry`.
    pub const LEAST_BOOT_RETRY: Duration = Duration::from_secs(10);

    /// Minimum of `timer.gc.vdisk`.
    pub const LEAST_IMAGE_GC: Duration = Duration::from_secs(60);

    /// Minimum of `timer.metric.interval`.
    pub const LEAST_METRIC_INTERVAL: Duration = Duration::from_secs(5);

    /// The keys that [`Settings::set`] accepts, with descriptions.
    pub const KEYS: [(&'static str, &'static str); 12] = [
        (
            "timer.boot.retry",
            "seconds between attempts to boot a domain that failed (default 600, least 10)",
        ),
        (
            "timer.shutdown.graceful",
            "seconds a guest gets to obey a shutdown request (default 60)",
        ),
        (
            "timer.shutdown.forced",
            "seconds it gets to obey the second, more forceful one (default 60)",
        ),
        (
            "timer.shutdown.destroy",
            "seconds a destroy may take before it is tried again (default 60)",
        ),
        (
            "timer.reboot.short",
            "a guest that reboots sooner than this many seconds after its start is slowed down (default 10)",
        ),
        (
            "timer.gc.vdisk",
            "seconds that a copy of an image is kept that no domain needs (default 3600, least 60)",
        ),
        (
            "timer.metric.interval",
            "seconds between measurements of what domains use (default 60, least 5)",
        ),
        (
            "debug.enable.usb",
            "whether the host may use USB controllers that no domain has (default true)",
        ),
        (
            "domain.poweroff.policy",
            "a guest that ends although it should run: halt (default) leaves it down, retry boots it after timer.boot.retry",
        ),
        (
            "domain.memory.autoballoon",
            "whether dom0 gives memory back for new domains: auto (default: unless Xen was started with dom0_mem=), on, off",
        ),
        (
            "domain.vif.offload",
            "whether guests may leave checksums and the cutting of large packets to the next one: off (default, as EVE), on",
        ),
        (
            "debug.default.loglevel",
            "how much to log: off, error, warn, info (default), debug, trace",
        ),
    ];

    /// Sets one key from its text.
    ///
    /// # Errors
    /// The key is unknown, or the value was refused or changed. The rest of the settings stays usable.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), Complaint> {
        let mut complaint = None;
        match key {
            "timer.boot.retry" => {
                self.boot_retry = at_least(key, value, Self::LEAST_BOOT_RETRY, &mut complaint)?;
            }
            "timer.gc.vdisk" => {
                self.image_gc = at_least(key, value, Self::LEAST_IMAGE_GC, &mut complaint)?;
            }
            "timer.metric.interval" => {
                let least = Self::LEAST_METRIC_INTERVAL;
                self.metric_interval = at_least(key, value, least, &mut complaint)?;
            }
            "timer.shutdown.graceful" => self.graceful = seconds(key, value)?,
            "timer.shutdown.forced" => self.forced = seconds(key, value)?,
            "timer.shutdown.destroy" => self.destroy = nonzero_seconds(key, value)?,
            "timer.reboot.short" => self.short_life = seconds(key, value)?,
            "debug.enable.usb" => self.usb_access = one_of(key, value, &TRUTH)?,
            "domain.poweroff.policy" => {
                self.poweroff_policy = one_of(key, value, &POWEROFF_POLICIES)?;
            }
            "domain.vif.offload" => self.vif_offload = one_of(key, value, &SWITCH)?,
            "debug.default.loglevel" => self.log_level = log_level(key, value)?,
            "domain.memory.autoballoon" => self.autoballoon = one_of(key, value, &AUTOBALLOON)?,
            _ => return Err(Complaint(format!("{key}: no such setting"))),
        }
        complaint.map_or(Ok(()), Err)
    }
}

const TRUTH: [(&str, bool); 2] = [("true", true), ("false", false)];

const SWITCH: [(&str, bool); 2] = [("on", true), ("off", false)];

const POWEROFF_POLICIES: [(&str, PoweroffPolicy); 2] = [
    ("halt", PoweroffPolicy::Halt),
    ("retry", PoweroffPolicy::Retry),
];

const AUTOBALLOON: [(&str, Autoballoon); 3] = [
    ("auto", Autoballoon::Auto),
    ("on", Autoballoon::On),
    ("off", Autoballoon::Off),
];

/// Returns the value that belongs to one of a few words.
fn one_of<T: Copy>(key: &str, value: &str, words: &[(&str, T)]) -> Result<T, Complaint> {
    if let Some((_, found)) = words.iter().find(|(word, _)| *word == value) {
        return Ok(*found);
    }
    let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let expected = match words.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => words.concat(),
    };
    Err(Complaint(format!(
        "{key}: expected {expected}, found {value:?}"
    )))
}

fn log_level(key: &str, value: &str) -> Result<log::LevelFilter, Complaint> {
    // logrus has more words than log.
    let word = match value {
        "panic" | "fatal" => "error",
        "warning" => "warn",
        other => other,
    };
    word.parse().map_err(|_| {
        Complaint(format!(
            "{key}: expected one of off, error, warn, info, debug, trace, found {value:?}"
        ))
    })
}

/// Returns the time, or `least` if the time is shorter, with a complaint.
fn at_least(
    key: &str,
    value: &str,
    least: Duration,
    complaint: &mut Option<Complaint>,
) -> Result<Duration, Complaint> {
    let wanted = seconds(key, value)?;
    if wanted < least {
        let least = least.as_secs();
        *complaint = Some(Complaint(format!(
            "{key}: {value} is below the least, {least}; using {least}"
        )));
    }
    Ok(wanted.max(least))
}

/// Returns a time that is not zero.
fn nonzero_seconds(key: &str, value: &str) -> Result<Duration, Complaint> {
    let wanted = seconds(key, value)?;
    if wanted.is_zero() {
        return Err(Complaint(format!(
            "{key}: expected at least 1 second, found 0"
        )));
    }
    Ok(wanted)
}

fn seconds(key: &str, value: &str) -> Result<Duration, Complaint> {
    value
        .parse::<u32>()
        .map(|s| Duration::from_secs(s.into()))
        .map_err(|_| {
            Complaint(format!(
                "{key}: expected a number of seconds, found {value:?}"
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_key_is_known() {
        for (key, _) in Settings::KEYS {
            let error = Settings::default().set(key, "?").unwrap_err().to_string();
            assert!(!error.contains("no such setting"), "{error}");
        }
    }

    #[test]
    fn values_are_checked() {
        let mut s = Settings::default();
        s.set("timer.boot.retry", "60").unwrap();
        assert_eq!(s.boot_retry, Duration::from_secs(60));
        assert_eq!(
            s.set("timer.boot.retry", "3").unwrap_err().to_string(),
            "timer.boot.retry: 3 is below the least, 10; using 10"
        );
        assert_eq!(s.boot_retry, Duration::from_secs(10));
        assert_eq!(
            s.set("timer.shutdown.forced", "-1")
                .unwrap_err()
                .to_string(),
            "timer.shutdown.forced: expected a number of seconds, found \"-1\""
        );
        s.set("domain.poweroff.policy", "retry").unwrap();
        assert_eq!(s.poweroff_policy, PoweroffPolicy::Retry);
        assert!(s.set("domain.poweroff.policy", "never").is_err());
        assert_eq!(
            s.set("timer.gc.vdisk", "1").unwrap_err().to_string(),
            "timer.gc.vdisk: 1 is below the least, 60; using 60"
        );
        assert_eq!(
            s.set("timer.gc", "1").unwrap_err().to_string(),
            "timer.gc: no such setting"
        );
    }
}
