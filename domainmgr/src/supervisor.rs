//! The main thread: signals, directories, and the table of workers. It never waits for a domain.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, at, never, select, unbounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use thiserror::Error;
use uuid::Uuid;

use crate::adapters::{Adapters, Files};
use crate::clock::Clock;
use crate::dirs::Dirs;
use crate::disks::keeper::{self, Register};
use crate::eve;
use crate::eve::inputs::{self, Identity, Inputs};
use crate::journal::{self, OpenError};
use crate::logging;
use crate::mailbox::Mail;
use crate::memory;
use crate::metrics;
use crate::records::Records;
use crate::services::{Death, Services};
use crate::settings::Settings;
use crate::store::{self, Claim, Lock, LockError, Named, Stamp};
use crate::supervision::Supervision;
use crate::toolstack::{Session, Toolstack};
use crate::watching::{FileEvent, Reason, Watching};
use crate::worker::{Env, Report, Worker};

/// How often everything is looked at without a reason.
const RESYNC: Duration = Duration::from_secs(30);
/// What workers get to end at the end of the agent.
const FAREWELL: Duration = Duration::from_secs(15);
/// The file by which EVE's agents tell each other that everything from before a restart is there again.
const MARKER: &str = "restarted";

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the files are.
    pub dirs: Dirs,
    /// Settings for all.
    pub global_config: PathBuf,
    /// What there is to give to domains, and what the host needs itself.
    pub adapters: Files,
    /// Settings that override those.
    pub overrides: Vec<(String, String)>,
    /// Bytes per second that a copy of an image may make, in a simulation.
    pub copy_rate: Option<u64>,
    /// A journal that is damaged is put aside, and everything in it forgotten.
    pub forget: bool,
}

/// Why the agent could not start, or go on.
#[derive(Debug, Error)]
pub enum StartError {
    /// Another one runs, or the lock cannot be used.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A directory cannot be used.
    #[error("{}: {source}", path.display())]
    Dir {
        /// Which.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The journal cannot be used now.
    #[error(transparent)]
    Journal(OpenError),
    /// Nothing is known of what should run, and something did.
    #[error(
        "{}: no such directory, but {} tells of {count} domain(s); with an empty config directory they would be brought \
         down: create it if they should be",
        config.display(),
        journal.display()
    )]
    NoConfig {
        /// Where DomainConfig should be.
        config: PathBuf,
        /// Where the journal is.
        journal: PathBuf,
        /// How many there are.
        count: usize,
    },
    /// The system lacks something.
    #[error("{what}: {source}")]
    System {
        /// What.
        what: &'static str,
        /// What happened.
        source: io::Error,
    },
    /// A thread that serves all domains has ended.
    #[error(
        "the thread {name:?} has ended ({why}): start domainmgr again, the guests are left as they are"
    )]
    Service {
        /// Its name.
        name: &'static str,
        /// The message of its panic, or that it has returned.
        why: String,
    },
    /// A setting on the command line is wrong.
    #[error("--config {0}")]
    Setting(String),
}

/// Takes the lock and runs until told to end. Guests stay as they are.
///
/// # Errors
/// The agent could not start, or a thread that it needs has ended.
pub fn run(
    options: &Options,
    toolstack: Arc<dyn Toolstack>,
    clock: Clock,
) -> Result<(), StartError> {
    let dirs = &options.dirs;
    for dir in [&dirs.run, &dirs.state] {
        make_dir(dir).map_err(|source| StartError::Dir {
            path: dir.clone(),
            source,
        })?;
    }
    let (services, deaths) = Services::new();
    let _lock = Lock::take(&dirs.run)?;
    let _state_lock = Lock::take(&dirs.state)?;
    let records = memory::open(dirs, toolstack.as_ref(), options.forget, &services)?;
    config_is_there(dirs, &records)?;
    for dir in [
        &dirs.cfgs(),
        &dirs.run.join("AssignableAdapters"),
        &dirs.run.join("HostMemory"),
        &dirs.metrics(),
        &dirs.config,
        &dirs.status,
        &dirs.dump,
        &dirs.copies,
        &dirs.image_statuses(),
        &dirs.seeds(),
    ] {
        make_dir(dir).map_err(|source| StartError::Dir {
            path: dir.clone(),
            source,
        })?;
    }
    for dir in [
        &dirs.cfgs(),
        &dirs.run.join("AssignableAdapters"),
        &dirs.run.join("HostMemory"),
        &dirs.metrics(),
        &dirs.status,
        &dirs.image_statuses(),
        &dirs.seeds(),
    ] {
        if let Err(e) = store::tidy(dir) {
            log::warn!("{}: {e}", dir.display());
        }
    }
    let _claims = [&dirs.config, &dirs.copies]
        .map(|dir| Claim::take(dir))
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    let signals = signals(&services).map_err(|source| StartError::System {
        what: "signals",
        source,
    })?;
    let (watching, files) = watch_files(options, &services).map_err(|source| StartError::Dir {
        path: dirs.config.clone(),
        source,
    })?;
    for (key, value) in &options.overrides {
        // What was merely changed is said when the settings are loaded.
        if let Err(e) = Settings::default().set(key, value) {
            let e = e.to_string();
            if !e.contains("; using ") && !e.contains("no such setting") {
                return Err(StartError::Setting(e));
            }
        }
    }
    let (reports_tx, reports) = unbounded();
    let settings = load_settings(options, &records);
    logging::set_level(settings.log_level);
    let news = reports_tx.clone();
    let adapters = Adapters::start(
        options.adapters.clone(),
        dirs.run.join("AssignableAdapters/global.json"),
        Arc::clone(&toolstack),
        clock,
        settings.usb_access,
        // Nobody listening: the agent is ending anyway.
        Box::new(move || {
            let _ = news.send(Report::Adapters);
        }),
        &services,
    )
    .map_err(|source| StartError::System {
        what: "adapters",
        source,
    })?;
    let env = Arc::new(Env {
        toolstack,
        clock,
        dirs: dirs.clone(),
        settings: RwLock::new(settings),
        adapters,
        copy_rate: options.copy_rate,
        register: Register::default(),
        inputs: Inputs::new(&dirs.config),
        records,
        metrics: metrics::Table::default(),
        reports: reports_tx,
    });
    for key in env.records.keys() {
        env.register.expect(key);
    }
    if env.records.damage().is_none() {
        keeper::tidy(dirs);
    }
    keeper::start(Arc::clone(&env), &services).map_err(|source| StartError::System {
        what: "a thread for images",
        source,
    })?;
    metrics::start(Arc::clone(&env), &services).map_err(|source| StartError::System {
        what: "a thread for metrics",
        source,
    })?;
    log::info!(
        "domainmgr {} started: DomainConfig in {}, DomainStatus in {}",
        env!("CARGO_PKG_VERSION"),
        dirs.config.display(),
        dirs.status.display()
    );
    let death = Supervisor {
        options,
        watching,
        look_again: BTreeMap::new(),
        env,
        workers: HashMap::new(),
        bad: HashMap::new(),
        settings_stamp: store::stamp(&options.global_config),
        lost: false,
        orphans_sought: false,
        marker: false,
        announced: false,
        session: None,
        supervision: Supervision::new(dirs.run.join("domainmgr.touch")),
    }
    .begin(&signals, &files, &reports, &deaths);
    log::info!("domainmgr ended; guests are left as they are");
    match death {
        Some(Death { name, why }) => Err(StartError::Service { name, why }),
        None => Ok(()),
    }
}

/// A config directory that is not there says nothing, least of all that no domain should run: its path may be mistyped.
/// Only where no domain is known is it made.
fn config_is_there(dirs: &Dirs, records: &Records) -> Result<(), StartError> {
    // Of another run of the host: it is not there yet.
    let before = |text: &String| text.starts_with(&records.boot().to_string());
    let known = records.config_dir.as_ref().is_none_or(before);
    if fs::symlink_metadata(&dirs.config).is_ok() || !known {
        return Ok(());
    }
    match records.keys().len() {
        0 => Ok(()),
        count => Err(StartError::NoConfig {
            config: dirs.config.clone(),
            journal: dirs.state.join(journal::FILE),
            count,
        }),
    }
}

fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    // Whatever it is, it must be one.
    fs::read_dir(dir).map(drop)
}

fn load_settings(options: &Options, records: &Records) -> Settings {
    let file = &options.global_config;
    let mut settings = Settings::default();
    let trouble = match store::read(file) {
        Ok(text) => match eve::apply_global(&text, &mut settings) {
            Ok(complaints) => {
                for complaint in complaints {
                    log::warn!("{}: {complaint}", file.display());
                }
                records.keep_settings(&String::from_utf8_lossy(&text));
                None
            }
            Err(e) => Some(e.to_string()),
        },
        Err(store::ReadError::Gone) => None,
        Err(e) => Some(e.to_string()),
    };
    if let Some(why) = trouble {
        let last = records.last_settings();
        let known =
            last.is_some_and(|text| eve::apply_global(text.as_bytes(), &mut settings).is_ok());
        log::warn!(
            "{}: {why}; {}",
            file.display(),
            if known {
                "the last settings that could be read stay in force"
            } else {
                "ignored"
            }
        );
    }
    for (key, value) in &options.overrides {
        if let Err(e) = settings.set(key, value) {
            log::warn!("--config {e}");
        }
    }
    settings
}

fn signals(services: &Services) -> io::Result<Receiver<i32>> {
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1])?;
    let (tx, rx) = unbounded();
    services.start("signals", 128 << 10, move || {
        for signal in signals.forever() {
            if tx.send(signal).is_err() {
                return;
            }
        }
    })?;
    Ok(rx)
}

/// Watches the config directory, and the others where they are there.
fn watch_files(
    options: &Options,
    services: &Services,
) -> io::Result<(Watching, Receiver<FileEvent>)> {
    let configs = &options.dirs.config;
    let name = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    let mut wanted = vec![(configs.clone(), Reason::Configs)];
    if let Some(parent) = configs.parent() {
        wanted.push((parent.to_owned(), Reason::Parent(name(configs))));
    }
    if let Some(dir) = options.global_config.parent() {
        wanted.push((
            dir.to_owned(),
            Reason::Settings(name(&options.global_config)),
        ));
    }
    let model = &options.adapters.model;
    let model = if model.is_dir() {
        Some(model.as_path())
    } else {
        model.parent()
    };
    for dir in [model, options.adapters.network.parent()]
        .into_iter()
        .flatten()
    {
        wanted.push((dir.to_owned(), Reason::Adapters));
    }
    Watching::start(configs, wanted, services)
}

/// The directory in which an absent file is a wish from the start: the one in which the files of all known domains were,
/// or the one that is `there`, if there is nothing to lose.
fn believed(dirs: &Dirs, records: &Records, there: Identity) -> Option<Identity> {
    if records.keys().is_empty() {
        return Some(there);
    }
    match &records.config_dir {
        Some(text) => inputs::from_text(text, records.boot()),
        // Taken over from an agent that did not take note of it.
        None => {
            let names = store::list(&dirs.config).unwrap_or_default();
            let any = names
                .iter()
                .any(|name| matches!(store::key_of(name), Named::Key(_)));
            any.then_some(there)
        }
    }
}

struct Entry {
    worker: Worker,
    stamp: Option<Stamp>,
    settled: bool,
}

struct Supervisor<'a> {
    options: &'a Options,
    env: Arc<Env>,
    watching: Watching,
    /// When files are looked at again because they may still change, or be there again.
    look_again: BTreeMap<Uuid, Instant>,
    workers: HashMap<Uuid, Entry>,
    /// Files that are not called after a key, and have been complained about.
    bad: HashMap<String, Option<Stamp>>,
    settings_stamp: Option<Stamp>,
    /// The config directory could not be read when last looked at.
    lost: bool,
    /// Who has a DomainStatus only has been looked for.
    orphans_sought: bool,
    /// The `restarted` marker has been met. It may lie there already while news of files that came before it is still
    /// on its way.
    marker: bool,
    /// The `restarted` marker has been passed on.
    announced: bool,
    session: Option<Box<dyn Session>>,
    supervision: Supervision,
}

impl Supervisor<'_> {
    fn begin(
        self,
        signals: &Receiver<i32>,
        files: &Receiver<FileEvent>,
        reports: &Receiver<Report>,
        deaths: &Receiver<Death>,
    ) -> Option<Death> {
        let dirs = &self.options.dirs;
        if let Some(there) = Identity::of(&dirs.config) {
            if let Some(dir) = believed(dirs, &self.env.records, there) {
                self.trust(dir);
            }
        }
        self.run(signals, files, reports, deaths)
    }

    /// Believes from now on that a file that is absent in the config directory is not wanted.
    fn trust(&self, dir: Identity) -> bool {
        let news = self.env.inputs.trust(dir);
        if news {
            let text = inputs::to_text(self.env.records.boot(), dir);
            // Should that fail, the next agent knows less, and is the more careful.
            drop(self.env.records.set(memory::CONFIG_DIR, text));
        }
        news
    }

    fn run(
        mut self,
        signals: &Receiver<i32>,
        files: &Receiver<FileEvent>,
        reports: &Receiver<Report>,
        deaths: &Receiver<Death>,
    ) -> Option<Death> {
        let marker = self.options.dirs.status.join(MARKER);
        if let Err(e) = store::remove(&marker) {
            log::warn!("{}: {e}", marker.display());
        }
        self.scan();
        let mut resync = at(self.next_resync());
        let mut beat = at(self.supervision.beat(self.workers.len()));
        self.supervision.ready();
        let (mut live_signals, mut files) = (signals.clone(), files.clone());
        let death = loop {
            select! {
                recv(deaths) -> death => break death.ok(),
                recv(live_signals) -> signal => match signal {
                    Ok(SIGHUP) => {
                        log::info!("reading everything again");
                        self.reload_settings();
                        self.env.adapters.kick();
                        self.scan();
                        self.post_all(Mail::CONFIG.and(Mail::RESYNC));
                    }
                    Ok(SIGUSR1) => self.dump(),
                    Ok(_) => break None,
                    // Its thread has ended, which is heard of next. No busy loop on its dead channel.
                    Err(_) => live_signals = never(),
                },
                recv(files) -> event => match event {
                    Ok(FileEvent::Config(name)) => self.file_changed(&name),
                    Ok(FileEvent::Created(name)) => self.file_created(&name),
                    Ok(FileEvent::Settings) => self.reload_settings(),
                    Ok(FileEvent::Adapters) => self.env.adapters.kick(),
                    Ok(FileEvent::Rescan) => self.scan(),
                    Err(_) => files = never(),
                },
                recv(reports) -> report => match report {
                    Ok(Report::Settled(key)) => {
                        if let Some(entry) = self.workers.get_mut(&key) {
                            entry.settled = true;
                        }
                    }
                    Ok(Report::Finished(key)) => self.finished(key),
                    Ok(Report::Adapters) => self.post_all(Mail::ADAPTERS),
                    Err(_) => break None,
                },
                recv(self.next_look()) -> _ => self.look_again(),
                recv(beat) -> _ => beat = at(self.supervision.beat(self.workers.len())),
                recv(resync) -> _ => {
                    self.resync();
                    resync = at(self.next_resync());
                }
            }
            self.announce();
        };
        self.supervision.stopping();
        self.farewell(signals, reports);
        death
    }

    fn next_resync(&self) -> Instant {
        // A tenth of jitter, so that many agents do not do it in step.
        let random = RandomState::new().hash_one(0) % 3000;
        let pause = RESYNC - Duration::from_millis(random);
        Instant::now() + self.env.clock.real(pause)
    }

    fn post_all(&self, mail: Mail) {
        for entry in self.workers.values() {
            entry.worker.post(mail);
        }
    }

    /// When a file is to be looked at again.
    fn next_look(&self) -> Receiver<Instant> {
        self.look_again
            .values()
            .min()
            .map_or_else(never, |t| at(*t))
    }

    fn schedule_look(&mut self, key: Uuid) {
        // A little later, lest it is just too early.
        let pause = self.env.clock.real(inputs::SETTLING) + Duration::from_millis(20);
        self.look_again.entry(key).or_insert(Instant::now() + pause);
    }

    fn look_again(&mut self) {
        let now = Instant::now();
        let due: Vec<Uuid> = self
            .look_again
            .iter()
            .filter(|(_, t)| **t <= now)
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            self.look_again.remove(&key);
            let path = self.options.dirs.config_of(key);
            let absent = store::stamp(&path).is_none();
            match self.workers.get(&key) {
                // It is believed now, or it is said why it is not.
                Some(entry) if absent => entry.worker.config_changed(&self.env, key),
                _ => self.look_at(&format!("{key}.json"), false),
            }
        }
    }

    /// Decides whether the files that are absent are known to be.
    fn believe(&mut self, names: &[String]) {
        let Some(there) = Identity::of(&self.options.dirs.config) else {
            return;
        };
        let file = |key: &Uuid| names.contains(&format!("{key}.json"));
        let left = self.env.records.keys();
        let all = self.workers.keys().all(file) && left.iter().all(file);
        let said = names.iter().any(|name| name == MARKER);
        if !(all || said) || !self.trust(there) {
            return;
        }
        log::info!(
            "{}: all files are there",
            self.options.dirs.config.display()
        );
        let keys: Vec<Uuid> = self.workers.keys().copied().collect();
        for key in keys.iter().filter(|key| !file(key)) {
            self.schedule_look(*key);
        }
        self.post_all(Mail::CONFIG);
    }

    /// Looks at the whole config directory.
    fn scan(&mut self) {
        self.watching.refresh();
        let dir = &self.options.dirs.config;
        let names = match store::list(dir) {
            Ok(names) => names,
            Err(e) => {
                // Nothing is known, so nothing follows: above all not that every config is gone.
                log::error!("{}: {e}", dir.display());
                if !std::mem::replace(&mut self.lost, true) {
                    self.post_all(Mail::CONFIG);
                }
                return;
            }
        };
        self.believe(&names);
        for name in &names {
            self.look_at(name, false);
        }
        if std::mem::take(&mut self.lost) {
            // Who has looked for a file meanwhile has not found it, and it may be the same as before.
            self.post_all(Mail::CONFIG);
        }
        let missing: Vec<Uuid> = self
            .workers
            .iter()
            .filter(|(key, entry)| entry.stamp.is_some() && !names.contains(&format!("{key}.json")))
            .map(|(key, _)| *key)
            .collect();
        for key in missing {
            self.look_at(&format!("{key}.json"), true);
        }
        // Not before it is known which have one.
        if !std::mem::replace(&mut self.orphans_sought, true) {
            self.scan_orphans();
            if self.env.records.damage().is_none() {
                let known = |key| self.workers.contains_key(&key);
                self.env.adapters.keep_only(&known);
            }
        }
    }

    /// Keys whose config went away while no agent ran: their domains are brought down.
    fn scan_orphans(&mut self) {
        for key in self.env.records.keys() {
            if !self.workers.contains_key(&key) {
                log::info!(key:% = key; "is known but has no DomainConfig");
                self.start(key, None);
            }
        }
        if self.env.records.damage().is_some() {
            return;
        }
        // What an agent said of domains that nobody knows any more.
        let dir = &self.options.dirs.status;
        for name in store::list(dir).unwrap_or_default() {
            if let Named::Key(key) = store::key_of(&name) {
                if !self.workers.contains_key(&key) {
                    let path = dir.join(name);
                    if let Err(e) = store::remove(&path) {
                        log::error!(key:% = key; "{}: {e}", path.display());
                    }
                }
            }
        }
    }

    fn file_changed(&mut self, name: &str) {
        self.look_at(name, true);
        if name == MARKER {
            self.scan();
        }
    }

    /// It may be another name of a file that is complete, which nobody will close.
    fn file_created(&mut self, name: &str) {
        if let Named::Key(key) = store::key_of(name) {
            self.schedule_look(key);
        }
    }

    /// Looks at one file; `changed`: even if it looks the same.
    fn look_at(&mut self, name: &str, changed: bool) {
        let path = self.options.dirs.config.join(name);
        match store::key_of(name) {
            Named::Other => self.marker |= name == MARKER,
            Named::Bad(why) => {
                let stamp = store::stamp(&path);
                let known = self.bad.get(name).copied().flatten();
                if stamp.is_none() {
                    self.bad.remove(name);
                } else if stamp != known {
                    log::error!("{}: {why}; ignored", path.display());
                    self.bad.insert(name.to_owned(), stamp);
                }
            }
            Named::Key(key) => {
                let stamp = store::stamp(&path);
                let now = self.env.clock.now().mono;
                self.env.inputs.note(key, stamp.is_some(), now);
                if stamp.is_none() && self.workers.contains_key(&key) {
                    self.schedule_look(key);
                }
                match self.workers.get_mut(&key) {
                    Some(entry) if changed || entry.stamp != stamp => {
                        entry.stamp = stamp;
                        entry.worker.config_changed(&self.env, key);
                    }
                    Some(_) => {}
                    None if stamp.is_some() => self.start(key, stamp),
                    None => {}
                }
            }
        }
    }

    fn start(&mut self, key: Uuid, stamp: Option<Stamp>) {
        match Worker::start(Arc::clone(&self.env), key) {
            Ok(worker) => {
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

    fn finished(&mut self, key: Uuid) {
        if let Some(entry) = self.workers.remove(&key) {
            entry.worker.join();
        }
        // It may have come back while its worker was on its way out.
        self.look_at(&format!("{key}.json"), false);
    }

    fn reload_settings(&mut self) {
        self.settings_stamp = store::stamp(&self.options.global_config);
        let settings = load_settings(self.options, &self.env.records);
        let mut current = self
            .env
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if *current != settings {
            log::info!("settings changed");
            logging::set_level(settings.log_level);
            let usb_access = settings.usb_access;
            let changed = current.usb_access != usb_access;
            *current = settings;
            drop(current);
            if changed {
                self.env.adapters.set_usb_access(usb_access);
            }
            self.post_all(Mail::SETTINGS);
        }
    }

    /// Looks for everything that nobody told us about.
    fn resync(&mut self) {
        self.scan();
        if store::stamp(&self.options.global_config) != self.settings_stamp {
            self.reload_settings();
        }
        let seen = match self.find() {
            Ok(seen) => seen,
            Err(e) => {
                log::warn!("the domains cannot be listed: {e}");
                self.session = None;
                return;
            }
        };
        for (key, entry) in &self.workers {
            let Some(belief) = entry.worker.belief() else {
                continue;
            };
            if !belief.holds(seen.iter().filter(|s| s.id.uuid == *key)) {
                entry.worker.post(Mail::RESYNC);
            }
        }
    }

    /// Every domain that a worker is responsible for.
    fn find(&mut self) -> crate::toolstack::Result<Vec<crate::toolstack::Seen>> {
        let session = match &mut self.session {
            Some(session) => session,
            slot => slot.insert(self.env.toolstack.session()?),
        };
        session.find(&|uuid| self.workers.contains_key(&uuid))
    }

    /// Passes the `restarted` marker on once everything that was there has been dealt with.
    fn announce(&mut self) {
        if !self.marker || self.announced || self.workers.values().any(|e| !e.settled) {
            return;
        }
        let theirs = self.options.dirs.config.join(MARKER);
        let Ok(content) = store::read(&theirs) else {
            return;
        };
        let ours = self.options.dirs.status.join(MARKER);
        match store::write(&ours, &content) {
            Ok(()) => self.announced = true,
            Err(e) => log::error!("{}: {e}", ours.display()),
        }
    }

    fn dump(&self) {
        log::info!("{} workers", self.workers.len());
        self.post_all(Mail::DUMP);
    }

    /// Ends the workers. A second signal ends the waiting.
    fn farewell(&mut self, signals: &Receiver<i32>, reports: &Receiver<Report>) {
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
