//! Signs of life for the supervisor of the agent: a file that is touched, and systemd's notifications.

use std::fs::{File, FileTimes, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use sd_notify::NotifyState;

/// Interval at which the file is touched.
const TOUCH: Duration = Duration::from_secs(25);

/// Signs of life of the main thread. A thread that waits for a domain gives none.
#[derive(Debug)]
pub struct Supervision {
    file: PathBuf,
    every: Duration,
    watched: bool,
    /// An error with the file has been logged.
    complained: bool,
}

impl Supervision {
    /// Creates the signs of life, with the file to touch.
    ///
    /// If the environment says that a watchdog waits for notifications, they are sent, too, at least twice as often as the
    /// watchdog wants them.
    #[must_use]
    pub fn new(file: PathBuf) -> Self {
        let watchdog = sd_notify::watchdog_enabled();
        let every = watchdog.map_or(TOUCH, |limit| (limit / 2).min(TOUCH));
        Self {
            file,
            every: every.max(Duration::from_millis(10)),
            watched: watchdog.is_some(),
            complained: false,
        }
    }

    /// Reports that the agent has looked at everything that was there.
    pub fn ready(&self) {
        Self::tell(&[NotifyState::Ready]);
    }

    /// Reports that the agent is ending.
    pub fn stopping(&self) {
        Self::tell(&[NotifyState::Stopping]);
    }

    /// Gives a sign of life, and returns the time at which the next one is due.
    pub fn beat(&mut self, domains: usize) -> Instant {
        if let Err(e) = self.touch() {
            if !std::mem::replace(&mut self.complained, true) {
                log::error!("{}: {e}", self.file.display());
            }
        }
        let status = format!("{domains} DomainConfigs");
        if self.watched {
            Self::tell(&[NotifyState::Watchdog, NotifyState::Status(&status)]);
        } else {
            Self::tell(&[NotifyState::Status(&status)]);
        }
        Instant::now() + self.every
    }

    fn touch(&self) -> std::io::Result<()> {
        let file: File = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&self.file)?;
        file.set_times(FileTimes::new().set_modified(SystemTime::now()))
    }

    fn tell(state: &[NotifyState<'_>]) {
        // Without a supervisor there is nobody to notify, which is no error.
        if let Err(e) = sd_notify::notify(state) {
            log::debug!("the supervisor cannot be told: {e}");
        }
    }
}
