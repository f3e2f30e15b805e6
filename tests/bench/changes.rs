//! Waits for changes of files without polling.

use std::{
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify,
};

use crate::support::LONG;

/// Changes in a directory, reported by inotify.
pub(crate) struct Changes(OwnedFd);

impl Changes {
    pub(crate) fn of(dir: &Path) -> Self {
        let fd =
            inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).unwrap();
        let events = inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::DELETE;
        inotify::add_watch(&fd, dir, events).unwrap();
        Self(fd)
    }

    /// Returns when `holds` returns true. It is checked after each change.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + LONG;
        while !holds() {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(left > Duration::ZERO, "waited {LONG:?} for {what}");
            let left = Timespec::try_from(left).unwrap();
            let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
            poll(&mut fds, Some(&left)).unwrap();
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut reader = inotify::Reader::new(&self.0, &mut buffer);
            while reader.next().is_ok() {}
        }
    }
}
