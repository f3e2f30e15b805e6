//! The main thread: signals, directories, and the table of workers. It never waits for a domain.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, at, never, select};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use uuid::Uuid;

use super::lister::Lister;
use crate::agent::env::{Env, Report};
use crate::agent::options::Options;
use crate::agent::supervision::Supervision;
use crate::agent::watching::{FileEvent, POLL, Watching};
use crate::agent::worker::Worker;
use crate::base::mailbox::Mail;
use crate::base::services::Death;
use crate::base::store::{self, Stamp};
use crate::frontends::xl::{Change, Table};

/// Interval at which everything is checked without a notification.
const RESYNC: Duration = Duration::from_secs(30);
/// Time that workers get to end when the agent ends.
const FAREWELL: Duration = Duration::from_secs(15);
/// Name of the file by which EVE's agents tell each other that everything from before a restart is there again.
pub(super) const MARKER: &str = "restarted";

/// The channels that the main thread listens to.
#[derive(Debug)]
pub(crate) struct Ears {
    /// Signals to the process.
    pub(crate) signals: Receiver<i32>,
    /// Changes of files.
    pub(crate) files: Receiver<FileEvent>,
    /// Reports of workers.
    pub(crate) reports: Receiver<Report>,
    /// The end of a thread that serves all domains.
    pub(crate) deaths: Receiver<Death>,
}

pub(super) struct Entry {
    pub(super) worker: Worker,
    pub(super) stamp: Option<Stamp>,
    pub(super) settled: bool,
}

/// The table of workers, and the known state of the files.
pub(crate) struct Supervisor<'a> {
    pub(super) options: &'a Options,
    pub(super) env: Arc<Env>,
    pub(super) watching: Watching,
    /// Time at which files that cannot be watched are checked next.
    pub(super) poll_at: Option<Instant>,
    /// Times at which files are checked again because they may still change, or be there again.
    pub(super) look_again: BTreeMap<Uuid, Instant>,
    pub(super) workers: HashMap<Uuid, Entry>,
    /// Files that are not named after a key, which has been logged.
    pub(super) bad: HashMap<String, Option<Stamp>>,
    pub(super) settings_stamp: Option<Stamp>,
    /// The config directory could not be read when last looked at.
    pub(super) lost: bool,
    /// The leftovers of unknown domains have been removed.
    pub(super) tidied: bool,
    /// The `restarted` marker has been seen. Notifications of files that came before the marker may still be on their way.
    pub(super) marker: bool,
    /// The `restarted` marker has been passed on.
    pub(super) announced: bool,
    /// The xl configs, if there is a directory of them.
    pub(super) xl: Option<Table>,
    /// The directory of xl configs could not be read when last looked at.
    pub(super) xl_lost: bool,
    /// Time at which the directory of xl configs is looked at next.
    pub(super) xl_look: Option<Instant>,
    pub(super) lister: Lister,
    pub(super) supervision: Supervision,
}

impl<'a> Supervisor<'a> {
    /// Creates a supervisor that has not looked at anything yet.
    #[must_use]
    pub(crate) fn new(
        options: &'a Options,
        watching: Watching,
        lister: Lister,
        env: Arc<Env>,
    ) -> Self {
        Self {
            options,
            watching,
            poll_at: None,
            look_again: BTreeMap::new(),
            env,
            workers: HashMap::new(),
            bad: HashMap::new(),
            settings_stamp: store::stamp(&options.global_config),
            lost: false,
            tidied: false,
            marker: false,
            announced: false,
            xl: options.dirs.xl.as_deref().map(Table::new),
            xl_lost: false,
            xl_look: None,
            lister,
            supervision: Supervision::new(options.dirs.run.join("domainmgr.touch")),
        }
    }

    /// Looks at everything that is there, and starts a worker for each domain.
    pub(crate) fn begin(&mut self) {
        self.trust_from_the_start();
        self.expect_xl();
        self.trust_xl_from_the_start();
        let marker = self.options.dirs.status.join(MARKER);
        if let Err(e) = store::withdraw(&marker) {
            log::warn!("{}: {e}", marker.display());
        }
        self.look_at_files();
        self.env.turns.open();
    }

    /// Runs until a signal, or until the end of a thread that is needed, which is then returned.
    pub(crate) fn run(mut self, ears: Ears) -> Option<Death> {
        let mut resync = at(self.next_resync());
        let mut beat = at(self.supervision.beat(self.workers.len()));
        self.supervision.ready();
        let Ears {
            mut signals,
            mut files,
            reports,
            deaths,
        } = ears;
        let death = loop {
            select! {
                recv(deaths) -> death => break death.ok(),
                recv(signals) -> signal => match signal {
                    Ok(SIGHUP) => {
                        log::info!("reading everything again");
                        self.reload_settings();
                        self.env.adapters.kick();
                        self.scan_all();
                        self.post_all(Mail::CONFIG.and(Mail::RESYNC));
                    }
                    Ok(SIGUSR1) => self.dump(),
                    Ok(_) => break None,
                    // The thread for signals has ended, which `deaths` reports next. No busy loop on its dead channel.
                    Err(_) => signals = never(),
                },
                recv(files) -> event => match event {
                    Ok(FileEvent::Config(name)) => self.file_changed(&name),
                    Ok(FileEvent::Created(name)) => self.file_created(&name),
                    Ok(FileEvent::Settings) => self.reload_settings(),
                    Ok(FileEvent::Adapters) => self.env.adapters.kick(),
                    Ok(FileEvent::Rescan) => self.scan_all(),
                    Ok(FileEvent::Xl { half }) => self.xl_changed(half),
                    Err(_) => files = never(),
                },
                recv(reports) -> report => match report {
                    Ok(report) => self.hear(report),
                    Err(_) => break None,
                },
                recv(self.next_look()) -> _ => self.look_again(),
                recv(self.xl_look.map_or_else(never, at)) -> _ => self.scan_xl(),
                recv(beat) -> _ => beat = at(self.supervision.beat(self.workers.len())),
                recv(self.next_poll()) -> _ => self.look_at_files(),
                recv(resync) -> _ => {
                    self.resync();
                    resync = at(self.next_resync());
                }
            }
            self.announce();
        };
        self.supervision.stopping();
        self.farewell(&signals, &reports);
        death
    }

    /// Acts on what a worker, or the reception of domains, has to say.
    fn hear(&mut self, report: Report) {
        match report {
            Report::Settled(key) => {
                if let Some(entry) = self.workers.get_mut(&key) {
                    entry.settled = true;
                }
            }
            Report::Finished(key) => self.finished(key),
            Report::Freed => self.post_all(Mail::FREED),
            Report::Arrives(key, done) => {
                self.start_arrived(key);
                // Whoever has asked may have given up.
                let _ = done.send(());
            }
        }
    }

    pub(super) fn next_resync(&self) -> Instant {
        // A tenth of jitter, so that many agents do not resync in step.
        let random = RandomState::new().hash_one(0) % 3000;
        let pause = RESYNC - Duration::from_millis(random);
        Instant::now() + self.env.clock.real(pause)
    }

    pub(super) fn post_all(&self, mail: Mail) {
        for entry in self.workers.values() {
            entry.worker.post(mail);
        }
    }

    pub(super) fn start(&mut self, key: Uuid, stamp: Option<Stamp>) {
        self.env.turns.expect(key);
        match Worker::start(Arc::clone(&self.env), key) {
            Ok(worker) => {
                self.env.board.open(key, Arc::new(worker.handle()));
                let entry = Entry {
                    worker,
                    stamp,
                    settled: false,
                };
                self.workers.insert(key, entry);
            }
            // The resync tries again.
            Err(e) => log::error!(key:% = key; "no thread for it: {e}"),
        }
    }

    pub(super) fn finished(&mut self, key: Uuid) {
        if let Some(entry) = self.workers.remove(&key) {
            entry.worker.join();
        }
        self.env.board.close(key);
        self.env.turns.forget(key);
        // The config may have come back while the worker was ending.
        self.look_at(&format!("{key}.json"), false);
        let xl = self.xl.as_ref().and_then(|table| table.file_of(key));
        if let (Some(path), None) = (xl, self.workers.get(&key)) {
            let there = true;
            self.xl_file(Change { key, path, there });
        }
    }

    /// Fires when files that cannot be watched are to be checked; never if all files are watched.
    pub(super) fn next_poll(&self) -> Receiver<Instant> {
        self.poll_at.map_or_else(never, at)
    }

    /// Looks at all files.
    pub(super) fn look_at_files(&mut self) {
        self.scan_all();
        if store::stamp(&self.options.global_config) != self.settings_stamp {
            self.reload_settings();
        }
        let blind = self.watching.is_blind();
        self.poll_at = blind.then(|| Instant::now() + self.env.clock.real(POLL));
        if blind {
            self.env.adapters.kick();
        }
    }

    pub(super) fn scan_all(&mut self) {
        // Before `scan`, which looks for keys without a file.
        self.scan_xl();
        self.scan();
    }

    /// Looks for changes that were not reported.
    pub(super) fn resync(&mut self) {
        self.env.turns.expect_no_more();
        self.look_at_files();
        let workers = self.workers.iter();
        let believers = workers.map(|(key, entry)| (*key, entry.worker.handle()));
        if !self.lister.ask(believers.collect()) {
            log::warn!(
                "the domains cannot be listed: Xen or xenstored has not answered for half a minute"
            );
        }
    }

    /// Passes the `restarted` marker on once everything that was there has been dealt with.
    pub(super) fn announce(&mut self) {
        if !self.marker || self.announced || self.workers.values().any(|e| !e.settled) {
            return;
        }
        let theirs = self.options.dirs.config.join(MARKER);
        let Ok(content) = store::read(&theirs) else {
            return;
        };
        let ours = self.options.dirs.status.join(MARKER);
        match store::publish(&ours, &content) {
            Ok(()) => self.announced = true,
            Err(e) => log::error!("{}: {e}", ours.display()),
        }
    }

    pub(super) fn dump(&self) {
        log::info!("{} workers", self.workers.len());
        self.post_all(Mail::DUMP);
    }

    /// Ends the workers, and waits for them. A second signal ends the wait.
    pub(super) fn farewell(&mut self, signals: &Receiver<i32>, reports: &Receiver<Report>) {
        for entry in self.workers.values() {
            entry.worker.stop();
        }
        let patience = at(Instant::now() + FAREWELL);
        while !self.workers.is_empty() {
            select! {
                recv(reports) -> report => {
                    if let Ok(Report::Finished(key)) = report {
                        if let Some(entry) = self.workers.remove(&key) {
                            entry.worker.join();
                        }
                    }
                }
                recv(signals) -> signal => {
                    if matches!(signal, Ok(SIGTERM | SIGINT) | Err(_)) {
                        break;
                    }
                }
                recv(patience) -> _ => {
                    log::warn!("{} domains are in the middle of something; leaving it", self.workers.len());
                    break;
                }
            }
        }
    }
}
