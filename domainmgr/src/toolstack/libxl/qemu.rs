//! Device models: the QEMU processes that emulate the devices of HVM domains and serve disks that Linux cannot.
//!
//! libxl starts device models, but does not supervise them.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::toolstack::domain::DomainId;
use crate::toolstack::session::Wake;

/// The device models of the watched domains. One thread waits for the end of any of them.
pub(super) struct Models(Arc<Shared>);

struct Shared {
    next: AtomicU64,
    watched: Mutex<HashMap<DomainId, Model>>,
    /// Event descriptor that wakes the thread when a device model is added or removed.
    changed: OwnedFd,
}

struct Model {
    /// Number of the watch, which differs from that of any other watch.
    serial: u64,
    /// Process of the device model. `None`: no process was found, though the domain needs one.
    process: Option<Arc<OwnedFd>>,
    wake: Wake,
    /// The end of the process has been reported.
    told: bool,
}

impl Model {
    fn is_over(&self) -> bool {
        self.process.as_ref().is_none_or(|process| is_over(process))
    }
}

impl Models {
    /// Starts the thread. No device model is watched yet.
    ///
    /// # Errors
    /// The system has no descriptor or thread to give.
    pub(super) fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared {
            next: AtomicU64::new(0),
            watched: Mutex::default(),
            changed: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        });
        let theirs = Arc::clone(&shared);
        thread::Builder::new()
            .name("device-models".into())
            .stack_size(128 << 10)
            .spawn(move || theirs.listen())?;
        Ok(Self(shared))
    }

    /// Calls `wake` when the device model of `id` has ended, until [`Models::forget`] is called with the returned number.
    ///
    /// A domain without a device model is not watched, unless `needed`: such a domain has already lost its device model.
    pub(super) fn watch(&self, id: DomainId, needed: bool, wake: Wake) -> u64 {
        let serial = self.0.next.fetch_add(1, Ordering::Relaxed);
        let process = of(id.domid);
        if process.is_some() || needed {
            self.0.add(id, serial, process, wake);
        }
        serial
    }

    /// Ends the watch with this number.
    pub(super) fn forget(&self, id: DomainId, serial: u64) {
        let mut watched = self.0.lock();
        if watched.get(&id).is_some_and(|model| model.serial == serial) {
            watched.remove(&id);
            drop(watched);
            self.0.say_changed();
        }
    }

    /// Returns true if `id` had a device model that has ended.
    ///
    /// A soft reset replaces the device model. The new one is then watched instead.
    pub(super) fn is_orphaned(&self, id: DomainId) -> bool {
        let (serial, wake) = match self.0.lock().get(&id) {
            Some(model) if model.is_over() => (model.serial, Arc::clone(&model.wake)),
            _ => return false,
        };
        let process = of(id.domid);
        let orphaned = process.is_none();
        if !orphaned {
            self.0.add(id, serial, process, wake);
        }
        orphaned
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<DomainId, Model>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, id: DomainId, serial: u64, process: Option<OwnedFd>, wake: Wake) {
        let model = Model {
            serial,
            process: process.map(Arc::new),
            wake,
            told: false,
        };
        self.lock().insert(id, model);
        self.say_changed();
    }

    fn say_changed(&self) {
        // If the counter is full, the thread is going to read it anyway.
        let _ = rustix::io::write(&self.changed, &1u64.to_ne_bytes());
    }

    fn listen(&self) {
        loop {
            let waiting: Vec<(DomainId, Arc<OwnedFd>)> = self
                .lock()
                .iter()
                .filter(|(_, model)| !model.told)
                .filter_map(|(id, model)| Some((*id, Arc::clone(model.process.as_ref()?))))
                .collect();
            let mut fds = vec![PollFd::new(&self.changed, PollFlags::IN)];
            fds.extend(
                waiting
                    .iter()
                    .map(|(_, process)| PollFd::new(&**process, PollFlags::IN)),
            );
            match poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => {
                    log::error!("device models: poll: {e}; their ends are not noticed");
                    return;
                }
            }
            let over: Vec<DomainId> = waiting
                .iter()
                .zip(&fds[1..])
                .filter(|(_, fd)| !fd.revents().is_empty())
                .map(|((id, _), _)| *id)
                .collect();
            drop(fds);
            let _ = rustix::io::read(&self.changed, &mut [0; 8]);
            for id in over {
                let wake = match self.lock().get_mut(&id) {
                    // The domain may have another device model by now.
                    Some(model) if model.is_over() => {
                        model.told = true;
                        Arc::clone(&model.wake)
                    }
                    _ => continue,
                };
                wake();
            }
        }
    }
}

fn is_over(process: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(process, PollFlags::IN)];
    let now = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    matches!(poll(&mut fds, Some(&now)), Ok(n) if n > 0)
}

/// Returns the process of a domain's device model.
fn of(domid: u32) -> Option<OwnedFd> {
    let pid = find(Path::new("/proc"), domid)?;
    let process = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    // The process may have ended in between, and its pid may belong to another one.
    (find(Path::new("/proc"), domid) == Some(pid)).then_some(process)
}

/// Returns true if the QEMU that serves disks to dom0 itself is running.
pub(super) fn serves_dom0() -> bool {
    find(Path::new("/proc"), 0).is_some()
}

/// Returns the last line that a domain's device model wrote to the log that libxl gives it.
///
/// libxl itself only knows that the device model did not start.
pub(super) fn last_words(logs: &Path, name: &str) -> Option<String> {
    /// Number of bytes read from the end of the log, and of characters shown of a line.
    const TAIL: u64 = 4096;
    const LONGEST: usize = 300;
    let file = format!("qemu-dm-{name}.log");
    let mut log = fs::File::open(logs.join(&file)).ok()?;
    let length = log.metadata().ok()?.len();
    log.seek(SeekFrom::Start(length.saturating_sub(TAIL)))
        .ok()?;
    let mut tail = Vec::new();
    log.take(TAIL).read_to_end(&mut tail).ok()?;
    let tail = String::from_utf8_lossy(&tail);
    let line = tail.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    let line: String = line.chars().take(LONGEST).collect();
    Some(format!("{file}: {line}"))
}

/// Returns the pid of the QEMU whose command line says that it serves `domid`.
fn find(proc: &Path, domid: u32) -> Option<i32> {
    let processes = fs::read_dir(proc).ok()?;
    for process in processes.flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let path: PathBuf = process.path().join("cmdline");
        // A process that has ended meanwhile does not count.
        let line = fs::read(path).unwrap_or_default();
        if serves(&line, domid) {
            return Some(pid);
        }
    }
    None
}

fn serves(cmdline: &[u8], domid: u32) -> bool {
    let words: Vec<&[u8]> = cmdline.split(|byte| *byte == 0).collect();
    let domid = domid.to_string();
    let qemu = words
        .first()
        .is_some_and(|program| program.windows(4).any(|w| w == b"qemu"));
    qemu && words
        .windows(2)
        .any(|pair| pair[0] == b"-xen-domid" && pair[1] == domid.as_bytes())
}

/// Returns the display in QEMU's answer to `info vnc`: a line like `  Server: 127.0.0.1:5901 (ipv4)`. The first server counts.
pub(super) fn vnc_display(said: &str) -> Option<u32> {
    let place = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("Server: "))?;
    let (_, port) = place.split_whitespace().next()?.rsplit_once(':')?;
    port.parse::<u32>().ok()?.checked_sub(5900)
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_display_is_read_from_qemus_words() {
        let said = "default:\r\n  Server: 127.0.0.1:5901 (ipv4)\r\n    Auth: none (Sub: none)\r\n";
        assert_eq!(vnc_display(said), Some(1));
        assert_eq!(
            vnc_display("default:\n  Server: ::1:5982 (ipv6)\n"),
            Some(82)
        );
        for none in [
            "",
            "None\r\n",
            "  Server: x (ipv4)\n",
            "  Server: 127.0.0.1:80 (ipv4)\n",
        ] {
            assert_eq!(vnc_display(none), None);
        }
    }

    #[test]
    fn the_command_line_says_whom_it_serves() {
        let line = b"/usr/libexec/xen-qemu-system-i386\0-xen-domid\x0012\0-name\0x\0";
        assert!(serves(line, 12));
        assert!(!serves(line, 1));
        assert!(!serves(line, 2));
        assert!(!serves(b"grep\0-xen-domid\x0012\0", 12));
        assert!(!serves(b"", 0));
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("77")).unwrap();
        fs::create_dir_all(dir.path().join("self")).unwrap();
        fs::write(dir.path().join("77/cmdline"), line).unwrap();
        fs::write(dir.path().join("self/cmdline"), line).unwrap();
        assert_eq!(find(dir.path(), 12), Some(77));
        assert_eq!(find(dir.path(), 0), None);
    }

    #[test]
    fn the_last_line_of_a_log_is_told() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(last_words(dir.path(), "app.1"), None);
        let log = dir.path().join("qemu-dm-app.1.log");
        fs::write(&log, "\n").unwrap();
        assert_eq!(last_words(dir.path(), "app.1"), None);
        let text = format!("{}first\nxen-qemu: no DES\n\n", "x\n".repeat(9000));
        fs::write(&log, text).unwrap();
        assert_eq!(
            last_words(dir.path(), "app.1").unwrap(),
            "qemu-dm-app.1.log: xen-qemu: no DES"
        );
        fs::write(&log, "y".repeat(9000)).unwrap();
        assert_eq!(last_words(dir.path(), "app.1").unwrap().len(), 319);
    }

    #[test]
    fn the_end_of_a_process_wakes_and_is_seen() {
        let models = Models::start().unwrap();
        let id = DomainId {
            domid: u32::MAX,
            uuid: Uuid::nil(),
        };
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let process = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let (tx, rx) = channel();
        let wake = Arc::new(move || tx.send(()).unwrap());
        models.0.add(id, 7, Some(process), wake);
        assert!(!models.is_orphaned(id));
        assert!(rx.recv_timeout(Duration::from_millis(50)).is_err());
        child.kill().unwrap();
        child.wait().unwrap();
        rx.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(models.is_orphaned(id));
        // Another watch of the same domain.
        models.forget(id, 6);
        assert!(models.is_orphaned(id));
        models.forget(id, 7);
        assert!(!models.is_orphaned(id));
        // A domain that should have a device model, and has none.
        let serial = models.watch(id, true, Arc::new(|| ()));
        assert!(models.is_orphaned(id));
        models.forget(id, serial);
        models.watch(id, false, Arc::new(|| ()));
        assert!(!models.is_orphaned(id));
    }
}
