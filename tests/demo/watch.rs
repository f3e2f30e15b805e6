//! Watches the agent's DomainStatus files for changes.

use std::{
    collections::BTreeMap,
    fs,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use inotify::{Inotify, WatchMask};
use libxl::Context;
use rustix::{
    event::{PollFd, PollFlags, poll},
    pipe::{PipeFlags, pipe_with},
};
use serde_json::Value;

use crate::{
    support::{context, xen_says_it_was_reset},
    timeline::{Timeline, What},
};

/// Reports every change in the DomainStatus directory, until it is dropped.
pub(crate) struct Show {
    // Closing it ends the thread. The agent must not inherit it.
    stop: Option<OwnedFd>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Show {
    /// Starts reporting. Only a guest of `reboots` may reboot on its own.
    pub(crate) fn changes(timeline: &Arc<Timeline>, dir: PathBuf, reboots: &'static str) -> Self {
        let timeline = Arc::clone(timeline);
        fs::create_dir_all(&dir).unwrap();
        let inotify = Inotify::init().unwrap();
        let changes = WatchMask::MOVED_TO | WatchMask::DELETE | WatchMask::CLOSE_WRITE;
        inotify.watches().add(&dir, changes).unwrap();
        let (stopped, stop) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let thread = thread::spawn(move || {
            let mut watch = Watch {
                inotify,
                dir,
                reboots,
                timeline,
                ctx: context(),
                last: BTreeMap::new(),
            };
            watch.look();
            while watch.wait(&stopped) {
                watch.look();
            }
            watch.look();
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Show {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(
                ended.is_ok() || thread::panicking(),
                "what shows the changes has ended too early"
            );
        }
    }
}

struct Watch {
    inotify: Inotify,
    dir: PathBuf,
    reboots: &'static str,
    timeline: Arc<Timeline>,
    ctx: Context,
    /// The last status of each file, by path.
    last: BTreeMap<PathBuf, Value>,
}

impl Watch {
    /// Waits for a change. Returns false when it is time to end.
    fn wait(&mut self, stopped: &OwnedFd) -> bool {
        let mut fds = [
            PollFd::new(&self.inotify, PollFlags::IN),
            PollFd::from_borrowed_fd(stopped.as_fd(), PollFlags::IN),
        ];
        poll(&mut fds, None).unwrap();
        if !fds[1].revents().is_empty() {
            return false;
        }
        let mut buffer = [0; 4096];
        // The events themselves are not used: `look` finds the changes.
        for _ in self.inotify.read_events(&mut buffer).unwrap() {}
        true
    }

    fn look(&mut self) {
        let now = read(&self.dir);
        for (path, status) in &now {
            let before = self.last.get(path);
            if before.is_none_or(|before| line(before) != line(status)) {
                self.changed(before.cloned().as_ref(), status);
            }
        }
        for (path, status) in &self.last {
            if !now.contains_key(path) {
                self.timeline.add(What::Gone { name: name(status) });
            }
        }
        self.last = now;
    }

    fn changed(&self, before: Option<&Value>, status: &Value) {
        self.timeline.add(What::Status {
            name: name(status),
            state: status["StateName"].as_str().unwrap_or("?").to_owned(),
            domid: status["DomainId"].as_u64().unwrap_or(0),
            line: line(status),
        });
        let restarts = |status: &Value| status["Restarts"].as_u64().unwrap_or(0);
        let restarted = restarts(status) > before.map_or(0, restarts);
        if restarted && name(status) != self.reboots {
            let name = name(status);
            // The status no longer has the domid of the domain that was reset.
            let domid = self.timeline.domain_before(&name);
            self.timeline.add(if xen_says_it_was_reset(&self.ctx, domid) {
                let text = format!(
                    "the emulator has reset domain {domid}: Xen's log has its triple fault. It starts once more"
                );
                What::Reset { name, text }
            } else {
                let reason = &status["ShutdownReason"];
                let text = format!("domain {domid} has ended ({reason}), which nobody has asked for");
                What::Wrong { name, text }
            });
        }
    }
}

/// Reads all statuses, by path.
fn read(dir: &Path) -> BTreeMap<PathBuf, Value> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .filter_map(|path| {
            // The file may have disappeared since the directory was listed.
            let text = fs::read(&path).ok()?;
            let status = serde_json::from_slice(&text).expect("a DomainStatus is JSON");
            Some((path, status))
        })
        .collect()
}

fn name(status: &Value) -> String {
    status["DisplayName"].as_str().unwrap_or("?").to_owned()
}

/// Returns the part of a status that is shown.
fn line(status: &Value) -> String {
    let mut line = format!("{:<10}", status["StateName"].as_str().unwrap_or("?"));
    match status["DomainId"].as_u64() {
        Some(domid) if domid > 0 => line += &format!("domain {domid:<4}"),
        _ => line += "           ",
    }
    if let Some(reason) = status["ShutdownReason"].as_str().filter(|r| !r.is_empty()) {
        line += &format!(" last shutdown: {reason}");
    }
    if let Some(restarts) = status["Restarts"].as_u64().filter(|n| *n > 0) {
        line += &format!(" restarts: {restarts}");
    }
    if let Some(error) = status["LastErr"].as_str().filter(|e| !e.is_empty()) {
        line += &format!(" {error}");
    }
    line.trim_end().to_owned()
}
