//! Notification of changes in the directories that others write to.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use inotify::{Event, EventMask, Inotify, WatchDescriptor, WatchMask, Watches};

use crate::base::services::Services;
use crate::frontends::inputs::Identity;

/// A change of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileEvent {
    /// A file with this name in the config directory has changed.
    Config(String),
    /// A file with this name has appeared in the config directory, and may still be written to.
    Created(String),
    /// An xl config has changed.
    Xl {
        /// The file was only just created.
        half: bool,
    },
    /// The settings have changed.
    Settings,
    /// The model or the ports of the host have changed.
    Adapters,
    /// Anything may have changed.
    Rescan,
}

/// Reason for which a directory is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The directory holds DomainConfig files.
    Configs,
    /// The directory holds the directory of DomainConfig files, which has this name.
    Parent(String),
    /// The directory holds the settings, in the file of this name.
    Settings(String),
    /// The directory holds the files that describe adapters.
    Adapters,
    /// This directory holds xl configs.
    Xl(PathBuf),
}

/// Interval at which files that cannot be watched are checked.
pub const POLL: Duration = Duration::from_secs(2);

type Reasons = HashMap<WatchDescriptor, Vec<Reason>>;

/// The watched directories.
///
/// A watch belongs to a directory, not to its path. If another directory is at a path, [`Watching::refresh`] watches that
/// directory.
pub struct Watching {
    /// `None`: the system has no inotify instance to give.
    watches: Option<Watches>,
    reasons: Arc<Mutex<Reasons>>,
    wanted: Vec<(PathBuf, Reason)>,
    /// The directories that are watched for the elements of `wanted`.
    watched: Vec<Option<Identity>>,
    configs: PathBuf,
    news: Sender<FileEvent>,
    services: Services,
    /// A directory exists that is not watched, and this has been logged.
    blind: bool,
}

impl std::fmt::Debug for Watching {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watching")
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

fn lock(reasons: &Mutex<Reasons>) -> MutexGuard<'_, Reasons> {
    reasons.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watching {
    /// Watches those `wanted` directories that exist. `configs` is the directory of DomainConfig files.
    #[must_use]
    pub fn start(
        configs: &Path,
        wanted: Vec<(PathBuf, Reason)>,
        services: &Services,
    ) -> (Self, Receiver<FileEvent>) {
        let (news, heard) = bounded(1024);
        let mut watching = Self {
            watches: None,
            reasons: Arc::default(),
            watched: vec![None; wanted.len()],
            wanted,
            configs: configs.to_owned(),
            news,
            services: services.clone(),
            blind: false,
        };
        watching.refresh();
        (watching, heard)
    }

    /// Returns true if a directory exists that cannot be watched. Files then have to be checked every [`POLL`].
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.blind
    }

    /// Starts the thread that listens.
    fn listen(&self) -> io::Result<Watches> {
        let mut inotify = Inotify::init()?;
        let watches = inotify.watches();
        let (reasons, dir) = (Arc::clone(&self.reasons), self.configs.clone());
        let tx = self.news.clone();
        self.services.start("inotify", 128 << 10, move || {
            let mut buffer = [0; 16 << 10];
            loop {
                let events = match inotify.read_events_blocking(&mut buffer) {
                    Ok(events) => events,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                    Err(e) => {
                        log::error!("inotify: {e}");
                        return;
                    }
                };
                for event in events {
                    let news = meaning(&lock(&reasons), &dir, &event);
                    for news in news {
                        if tx.send(news).is_err() {
                            return;
                        }
                    }
                }
            }
        })?;
        Ok(watches)
    }

    /// Watches these directories as well: they hold xl configs that links lead to.
    pub fn xl_elsewhere(&mut self, dirs: BTreeSet<PathBuf>) {
        let known = self.wanted.len();
        for dir in dirs {
            let reason = Reason::Xl(dir.clone());
            if !self.wanted.iter().any(|(_, r)| *r == reason) {
                self.wanted.push((dir, reason));
                self.watched.push(None);
            }
        }
        if self.wanted.len() > known {
            self.refresh();
        }
    }

    /// Watches the directories that are at the paths now. Those that are missing, or cannot be watched, are tried again the
    /// next time.
    pub fn refresh(&mut self) {
        let mask = WatchMask::CREATE
            | WatchMask::CLOSE_WRITE
            | WatchMask::MOVED_TO
            | WatchMask::MOVED_FROM
            | WatchMask::DELETE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        let mut failed: Option<String> = None;
        if self.watches.is_none() {
            match self.listen() {
                Ok(watches) => self.watches = Some(watches),
                Err(e) => failed = Some(why(&e, "fs.inotify.max_user_instances")),
            }
        }
        for ((path, reason), watched) in self.wanted.iter().zip(&mut self.watched) {
            let Some(watches) = &mut self.watches else {
                break;
            };
            let there = Identity::of(path);
            if there == *watched {
                continue;
            }
            *watched = None;
            if there.is_none() {
                continue;
            }
            match watches.add(path, mask) {
                Ok(descriptor) => {
                    let mut reasons = lock(&self.reasons);
                    let known = reasons.entry(descriptor).or_default();
                    if !known.contains(reason) {
                        known.push(reason.clone());
                    }
                    *watched = there;
                }
                Err(e) => {
                    let why = why(&e, "fs.inotify.max_user_watches");
                    failed.get_or_insert(format!("{}: {why}", path.display()));
                }
            }
        }
        if let Some(why) = failed.as_ref().filter(|_| !self.blind) {
            log::warn!("files are looked at every {} s: {why}", POLL.as_secs());
        } else if failed.is_none() && self.blind {
            log::info!("files are watched again");
        }
        self.blind = failed.is_some();
    }
}

/// Describes an error of inotify, and the limit of the system that may be the reason.
fn why(e: &io::Error, limit: &str) -> String {
    use rustix::io::Errno;
    match Errno::from_io_error(e) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOSPC) => {
            format!(
                "inotify: {e}: see the limit {limit} (sysctl), which all programs of root share"
            )
        }
        _ => format!("inotify: {e}"),
    }
}

fn meaning(reasons: &Reasons, configs: &Path, event: &Event<&std::ffi::OsStr>) -> Vec<FileEvent> {
    let lost = EventMask::Q_OVERFLOW | EventMask::DELETE_SELF | EventMask::MOVE_SELF;
    if event.mask.intersects(lost) {
        return vec![FileEvent::Rescan];
    }
    let Some(name) = event.name.map(|n| n.to_string_lossy().into_owned()) else {
        return Vec::new();
    };
    let created = event.mask.contains(EventMask::CREATE);
    let all = reasons.get(&event.wd).into_iter().flatten();
    all.filter_map(|reason| match reason {
        // A plain file that was just created is still empty, unless it is another name of an old file.
        Reason::Configs if created => {
            let found = fs::symlink_metadata(configs.join(&name)).ok();
            match found.is_some_and(|m| m.is_file()) {
                true => Some(FileEvent::Created(name.clone())),
                false => Some(FileEvent::Config(name.clone())),
            }
        }
        Reason::Configs => Some(FileEvent::Config(name.clone())),
        Reason::Parent(dir) => (*dir == name).then_some(FileEvent::Rescan),
        Reason::Settings(file) => (*file == name && !created).then_some(FileEvent::Settings),
        Reason::Xl(dir) => {
            let found = fs::symlink_metadata(dir.join(&name)).ok();
            let half = created && found.is_some_and(|m| m.is_file());
            Some(FileEvent::Xl { half })
        }
        Reason::Adapters => (!created).then_some(FileEvent::Adapters),
    })
    .collect()
}
