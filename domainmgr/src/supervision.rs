//! How whoever supervises the agent knows that it is well: a file that is touched, and systemd's notifications.

use std::fs::{File, FileTimes, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use sd_notify::NotifyState;

/// How often the file is touched.
const TOUCH: Duration = Duration::from_secs(25);

/// Signs of life of the main thread. Whoever waits for a domain gives none.
#[derive(Debug)]
pub struct Supervision {
    file: PathBuf,
    every: Duration,
    watched: bool,
    /// Complained about once.
    complained: bool,
}

impl Supervision {
    /// Touches `file`; if the environment says that a watchdog waits for notifications, they are sent too, twice as often
    /// as it wants them.
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

    /// The agent has looked at everything that was there.
    pub fn ready(&self) {
        Self::tell(&[NotifyState::Ready]);
    }

    /// It is ending.
    pub fn stopping(&self) {
        Self::tell(&[NotifyState::Stopping]);
    }

    /// Gives a sign of life, and says when the next one is due.
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
        // Without a supervisor nobody is told, and that is no error.
        if let Err(e) = sd_notify::notify(state) {
            log::debug!("the supervisor cannot be told: {e}");
        }
    }
}
