//! Disks: files through loop devices, and block devices.

mod loops;
mod mode;
mod mounts;
mod sharing;

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{major, minor};

use crate::call::Call;
use crate::failure::{Failure, Names};
use crate::lock::Lock;
use crate::store::Store;
use mode::Mode;
use sharing::Users;

const LOCK: &str = "block";

/// State of a backend that waits for its device (`XenbusStateInitWait`).
const WAITS: &str = "2";

/// A device number, as it is in xenstore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Device(u64);

impl Device {
    /// Returns the number of a block device.
    fn of(about: &Metadata) -> Self {
        Self(about.rdev())
    }

    fn text(self) -> String {
        format!("{:x}:{:x}", major(self.0), minor(self.0))
    }
}

/// Connects a disk, or takes it away.
pub(crate) fn run(call: &Call, store: &impl Store) -> Result<(), Failure> {
    if call.command.comes() {
        add(call, store)
    } else {
        remove(call, store)
    }
}

fn add(call: &Call, store: &impl Store) -> Result<(), Failure> {
    // The script may have been here before.
    if store.get(&call.key("physical-device"))?.is_some() {
        return Ok(());
    }
    let Some(params) = store.get(&call.key("params"))?.filter(|p| !p.is_empty()) else {
        // A drive without a disc.
        return store.write(&call.key("hotplug-status"), "connected");
    };
    let mode = Mode::parse(&store.need(&call.key("mode"))?);
    let path = Path::new("/dev").join(&params);
    let path = fs::canonicalize(&path)
        .map_err(|_| Failure::new(format!("{} does not exist.", path.display())))?;
    let about = fs::metadata(&path).names(path.display())?;
    let _lock = Lock::claim(LOCK)?;
    if about.file_type().is_block_device() {
        if let Some(mode) = mode.checked() {
            let users = Users::new(call, store)?;
            if let Some(user) = users.of(&[Device::of(&about)], mode)? {
                return Err(sharing::of_device(&path, mode, user));
            }
        }
        return connect(call, store, &path, Device::of(&about));
    }
    if !about.is_file() {
        return Err(Failure::new(format!(
            "{} is not a block device.",
            path.display()
        )));
    }
    add_file(call, store, mode, &path, &about)
}

/// Attaches a file to a loop device, and connects that.
fn add_file(
    call: &Call,
    store: &impl Store,
    mode: Mode,
    path: &Path,
    about: &Metadata,
) -> Result<(), Failure> {
    let state = store.get_or(&call.key("state"), "unknown")?;
    // libxl may have given up waiting, and taken the device away.
    if state != WAITS {
        return Err(Failure::new(format!(
            "Path closed or removed during hotplug add: {} state: {state}",
            call.backend
        )));
    }
    if mode == Mode::Write && about.permissions().mode() & 0o222 == 0 {
        return Err(Failure::busy(format!(
            "File {} is read-only, and so I will not\nmount it read-write in a guest domain.",
            path.display()
        )));
    }
    if let Some(mode) = mode.checked() {
        let loops = loops::of_file(about).names("/sys/block")?;
        if !loops.is_empty() {
            let devices: Vec<Device> = loops.iter().map(|l| l.device).collect();
            if let Some(user) = Users::new(call, store)?.of(&devices, mode)? {
                return Err(sharing::of_file(path, mode, user));
            }
        }
    }
    let node = call.key("node");
    // The node is in xenstore before anything is attached. So whatever ends this program, the loop device is found again.
    let (node, device) = loops::attach(path, mode == Mode::Read, |device| {
        store.write(&node, &device.to_string_lossy())
    })?;
    connect(call, store, &node, device)
}

fn connect(call: &Call, store: &impl Store, path: &Path, device: Device) -> Result<(), Failure> {
    store.write(&call.key("physical-device"), &device.text())?;
    store.write(
        &call.key("physical-device-path"),
        &path.display().to_string(),
    )?;
    store.write(&call.key("hotplug-status"), "connected")
}

/// Detaches the loop device of a file.
fn remove(call: &Call, store: &impl Store) -> Result<(), Failure> {
    // A block device has no node.
    let Some(node) = store.get(&call.key("node"))? else {
        return Ok(());
    };
    let params = store.get_or(&call.key("params"), "")?;
    let _lock = Lock::claim(LOCK)?;
    // A loop device whose attaching was cut short may be somebody else's by now.
    let node = PathBuf::from(node);
    if loops::is_of(&node, Path::new(&params)) {
        loops::detach(&node).names(node.display())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::tests::call;
    use crate::failure::Status;
    use crate::store::tests::Memory;

    const BACKEND: &str = "backend/vbd/5/51712";

    fn of(command: &str) -> Call {
        call("block", &[command], &[("XENBUS_PATH", BACKEND)]).unwrap()
    }

    fn key(name: &str) -> String {
        of("add").key(name)
    }

    fn store(params: &str, mode: &str, state: &str) -> Memory {
        let store = Memory::default();
        for (name, value) in [("params", params), ("mode", mode), ("state", state)] {
            store.write(&key(name), value).unwrap();
        }
        store
    }

    #[test]
    fn a_drive_without_a_disc_is_connected() {
        let store = store("", "r", "2");
        run(&of("add"), &store).unwrap();
        let status = store.get(&key("hotplug-status")).unwrap();
        assert_eq!(status.as_deref(), Some("connected"));
        assert_eq!(store.get(&key("physical-device")).unwrap(), None);
    }

    #[test]
    fn what_is_connected_stays_as_it_is() {
        let store = store("/nowhere", "w", "4");
        store.write(&key("physical-device"), "7:0").unwrap();
        run(&of("add"), &store).unwrap();
    }

    #[test]
    fn what_is_not_there_is_named() {
        let failed = |params: &str| run(&of("add"), &store(params, "w", "2")).unwrap_err();
        assert_eq!(failed("/no/disk").text, "/no/disk does not exist.");
        assert_eq!(failed("no-disk").text, "/dev/no-disk does not exist.");
        let store = Memory::with([("backend/vbd/5/51712/params", "/etc/passwd")]);
        assert_eq!(
            run(&of("add"), &store).unwrap_err().text,
            "xenstore-read backend/vbd/5/51712/mode failed."
        );
    }

    #[test]
    fn a_file_is_refused_that_is_read_only_or_comes_too_late() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = fs::canonicalize(file.path()).unwrap();
        let about = |mode| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            fs::metadata(&path).unwrap()
        };
        let late = add_file(
            &of("add"),
            &store("", "w", "5"),
            Mode::Write,
            &path,
            &about(0o600),
        );
        assert_eq!(
            late.unwrap_err().text,
            "Path closed or removed during hotplug add: backend/vbd/5/51712 state: 5"
        );
        let read_only = add_file(
            &of("add"),
            &store("", "w", "2"),
            Mode::Write,
            &path,
            &about(0o400),
        );
        let read_only = read_only.unwrap_err();
        assert_eq!(read_only.status, Status::Busy);
        assert!(
            read_only.text.ends_with(
                "is read-only, and so I will not\nmount it read-write in a guest domain."
            )
        );
    }

    #[test]
    fn what_was_never_attached_is_removed_without_a_word() {
        run(&of("remove"), &Memory::default()).unwrap();
    }

    #[test]
    fn a_device_number_is_hexadecimal() {
        let device = Device(rustix::fs::makedev(202, 16));
        assert_eq!(device.text(), "ca:10");
    }
}
