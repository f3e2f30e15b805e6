//! Other users of a disk: no two may write, and nobody may read what another writes. Domains of one machine may share, as its old
//! and its new one do in a migration within the host.

use std::path::Path;

use super::Device;
use super::mode::Mode;
use super::mounts;
use crate::call::Call;
use crate::failure::{Failure, Names};
use crate::store::Store;

/// Somebody who uses a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum User {
    /// Dom0 has mounted it.
    Local(Device),
    /// A guest has it as a disk.
    Guest(Device),
}

/// Those who use disks of this host.
pub(super) struct Users<'a, S> {
    store: &'a S,
    /// Directory of all backends of disks.
    backends: String,
    /// The machine that the disk is for.
    machines: Machines,
}

/// The marks of the domains of one machine: its path in xenstore, and that of the domain that it serves, for a stub domain.
struct Machines {
    ours: String,
    target: String,
}

impl<'a, S: Store> Users<'a, S> {
    pub(super) fn new(call: &Call, store: &'a S) -> Result<Self, Failure> {
        let frontend = store.need(&call.key("frontend-id"))?;
        let base = call.variable("XENBUS_BASE_PATH").unwrap_or("backend");
        let kind = call.variable("XENBUS_TYPE").unwrap_or("vbd");
        let ours = store.get_or(&format!("/local/domain/{frontend}/vm"), "unknown")?;
        Ok(Self {
            store,
            backends: format!("{base}/{kind}"),
            machines: Machines {
                target: target(store, &frontend, "No Target")?,
                ours,
            },
        })
    }

    /// Returns somebody who uses one of these devices so that it cannot be used in this mode.
    pub(super) fn of(&self, devices: &[Device], mode: Mode) -> Result<Option<User>, Failure> {
        let mounted = mounts::devices(mode).names("/proc/mounts")?;
        let local = devices.iter().find(|device| mounted.contains(device));
        match local {
            Some(device) => Ok(Some(User::Local(*device))),
            None => self.guest(devices, mode),
        }
    }

    fn guest(&self, devices: &[Device], mode: Mode) -> Result<Option<User>, Failure> {
        for domain in self.store.list(&self.backends)? {
            let dir = format!("{}/{domain}", self.backends);
            for disk in self.store.list(&dir)? {
                let physical = format!("{dir}/{disk}/physical-device");
                let Some(physical) = self.store.get(&physical)? else {
                    continue;
                };
                let Some(device) = devices.iter().find(|device| device.text() == physical) else {
                    continue;
                };
                let theirs = self.store.get_or(&format!("{dir}/{disk}/mode"), "")?;
                let bearable = mode == Mode::Read && Mode::parse(&theirs) != Mode::Write;
                if !bearable && !self.is_same_machine(&domain)? {
                    return Ok(Some(User::Guest(*device)));
                }
            }
        }
        Ok(None)
    }

    fn is_same_machine(&self, domain: &str) -> Result<bool, Failure> {
        let Machines { ours, target } = &self.machines;
        // A domain that is being destroyed may have lost its path already.
        let theirs = self
            .store
            .get_or(&format!("/local/domain/{domain}/vm"), ours)?;
        let their_target = self::target(self.store, domain, "No Other Target")?;
        let ours = ours.strip_suffix("-1").unwrap_or(ours);
        Ok([ours, target]
            .iter()
            .any(|own| **own == theirs || **own == their_target))
    }
}

/// Returns the machine of the domain that a stub domain serves.
fn target(store: &impl Store, domain: &str, none: &str) -> Result<String, Failure> {
    let target = store.get_or(&format!("/local/domain/{domain}/target"), "-1")?;
    store.get_or(&format!("/local/domain/{target}/vm"), none)
}

/// Returns the failure for a block device.
pub(super) fn of_device(path: &Path, mode: Mode, user: User) -> Failure {
    mounted(
        &format!("Device {} is mounted ", path.display()),
        mode,
        user,
    )
}

/// Returns the failure for a file.
pub(super) fn of_file(path: &Path, mode: Mode, user: User) -> Failure {
    let (User::Local(device) | User::Guest(device)) = user;
    let through = device.text();
    mounted(
        &format!(
            "File {} is loopback-mounted through {through},\nwhich is mounted ",
            path.display()
        ),
        mode,
        user,
    )
}

fn mounted(beginning: &str, mode: Mode, user: User) -> Failure {
    let (whose, when) = match user {
        User::Guest(_) => ("a guest ", "now"),
        User::Local(_) => ("the privileged ", "by a guest"),
    };
    let (theirs, ours) = match mode {
        Mode::Read => ("read-write ", "read-only "),
        _ => ("", ""),
    };
    Failure::busy(format!(
        "{beginning}{theirs}in {whose}domain,\nand so cannot be mounted {ours}{when}."
    ))
}

#[cfg(test)]
mod tests {
    use rustix::fs::makedev;

    use super::*;
    use crate::call::tests::call;
    use crate::store::tests::Memory;

    /// A device that this computer does not have mounted.
    fn device() -> Device {
        Device(makedev(0xfff, 7))
    }

    /// Domain 5 asks; domain 3 has the device in this mode.
    fn host(mode: &str, extra: &[(&str, &str)]) -> Memory {
        let store = Memory::with([
            ("backend/vbd/5/51712/frontend-id", "5"),
            ("/local/domain/5/vm", "/vm/web"),
            ("backend/vbd/3/51712/physical-device", "fff:7"),
            ("backend/vbd/3/51712/mode", mode),
            ("/local/domain/3/vm", "/vm/db"),
        ]);
        for (path, value) in extra {
            store.write(path, value).unwrap();
        }
        store
    }

    fn user(store: &Memory, mode: Mode) -> Option<User> {
        let environment = [("XENBUS_PATH", "backend/vbd/5/51712")];
        let call = call("block", &["add"], &environment).unwrap();
        Users::new(&call, store)
            .unwrap()
            .of(&[device()], mode)
            .unwrap()
    }

    #[test]
    fn no_two_write_and_nobody_reads_what_another_writes() {
        let guest = Some(User::Guest(device()));
        for (theirs, ours, found) in [
            ("r", Mode::Read, None),
            ("w", Mode::Read, guest),
            ("w!", Mode::Read, None),
            ("r", Mode::Write, guest),
            ("w", Mode::Write, guest),
        ] {
            assert_eq!(user(&host(theirs, &[]), ours), found, "{theirs} {ours:?}");
        }
    }

    #[test]
    fn domains_of_one_machine_share() {
        for (path, value) in [
            // The other one is its old domain, or has lost its path already.
            ("/local/domain/3/vm", "/vm/web"),
            // It serves ours, or ours serves it, or both serve a third.
            ("/local/domain/3/target", "5"),
            ("/local/domain/5/target", "3"),
        ] {
            assert_eq!(
                user(&host("w", &[(path, value)]), Mode::Write),
                None,
                "{path}"
            );
        }
        let third = [
            ("/local/domain/3/target", "9"),
            ("/local/domain/5/target", "9"),
            ("/local/domain/9/vm", "/vm/served"),
        ];
        assert_eq!(user(&host("w", &third), Mode::Write), None);
    }

    #[test]
    fn the_texts_are_those_of_the_scripts() {
        let (local, guest) = (User::Local(device()), User::Guest(device()));
        let of = |mode, user| of_device(Path::new("/dev/sda"), mode, user).text;
        assert_eq!(
            of(Mode::Write, guest),
            "Device /dev/sda is mounted in a guest domain,\nand so cannot be mounted now."
        );
        assert_eq!(
            of(Mode::Read, local),
            "Device /dev/sda is mounted read-write in the privileged domain,\nand so cannot be mounted read-only by a guest."
        );
        assert_eq!(
            of_file(Path::new("/srv/a"), Mode::Write, guest).text,
            "File /srv/a is loopback-mounted through fff:7,\nwhich is mounted in a guest domain,\nand so cannot be mounted now."
        );
    }
}
