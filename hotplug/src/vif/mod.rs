//! Network interfaces: the backend of a guest's interface, and the tap of an emulated network card.

mod bridge;
mod iptables;
mod openvswitch;
mod route;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::call::{Call, Command, Script};
use crate::failure::{Failure, Names};
use crate::link::{self, Index, Links};
use crate::store::Store;

/// Address of all interfaces of dom0 that lead to guests: the highest that is not for broadcasts, so that no bridge takes it for
/// its own (FE:FF:FF:FF:FF:FF).
const NOBODY: [u8; 6] = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff];

/// Added to the name of a tap.
const OF_TAP: &str = "-emu";

/// The interface of dom0 that a call is about.
struct Interface<'a, S> {
    call: &'a Call,
    store: &'a S,
    links: Links,
    /// Its name, after it was renamed.
    name: String,
    /// The domain and the number of its device.
    domain: String,
    device: String,
}

/// Connects an interface, or takes it away.
pub(crate) fn run(call: &Call, store: &impl Store) -> Result<(), Failure> {
    let tap = call.is_of_tap();
    let of_tap = matches!(call.command, Command::Add | Command::Remove);
    match call.variable("type_if") {
        None | Some("vif" | "tap") => {}
        Some(other) => return Err(Failure::new(format!("unknown interface type {other}"))),
    }
    // libxl asks for both, whatever there is.
    if tap != of_tap {
        return Ok(());
    }
    let mut interface = Interface::find(call, store)?;
    match call.script {
        Script::VifRoute => route::run(&mut interface)?,
        Script::VifOpenvswitch => openvswitch::run(&mut interface)?,
        Script::VifBridge | Script::Block => bridge::run(&mut interface)?,
    }
    if call.command == Command::Online {
        store.write(&interface.key("hotplug-status"), "connected")?;
    }
    Ok(())
}

/// Returns whether the host's owner has put hooks beside the scripts.
pub(crate) fn has_hooks(scripts: &str) -> bool {
    let Ok(entries) = fs::read_dir(format!("{scripts}/vif-post.d")) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let hook = entry.path().extension().is_some_and(|e| e == "hook");
        let runs = |about: fs::Metadata| about.permissions().mode() & 0o111 != 0;
        hook && fs::metadata(entry.path()).is_ok_and(runs)
    })
}

/// Returns the domain and the device of a name such as `vif5.0`, or of a path such as `backend/vif/5/0`.
fn split(text: &str, at: char) -> Option<(&str, &str)> {
    let (domain, device) = text.rsplit_once(at)?;
    let domain = domain.rsplit_once(at).map_or(domain, |(_, domain)| domain);
    Some((domain, device))
}

impl<'a, S: Store> Interface<'a, S> {
    /// Finds the interface, and gives it its name if it comes.
    fn find(call: &'a Call, store: &'a S) -> Result<Self, Failure> {
        let tap = call.is_of_tap();
        let variable = if tap { "INTERFACE" } else { "vif" };
        let given = call
            .variable(variable)
            .ok_or_else(|| Failure::new(format!("{variable} is not set")))?;
        let found = if tap {
            let number = given.strip_prefix("vif").unwrap_or(given);
            split(number.strip_suffix(OF_TAP).unwrap_or(number), '.')
        } else {
            split(&call.backend, '/')
        };
        let (domain, device) =
            found.ok_or_else(|| Failure::new(format!("{given}: of no domain")))?;
        let mut interface = Self {
            call,
            store,
            links: Links::open().names("netlink")?,
            name: given.to_owned(),
            domain: domain.to_owned(),
            device: device.to_owned(),
        };
        if let Some(name) = interface.get("vifname")? {
            let name = if tap { name + OF_TAP } else { name };
            if call.command.comes() {
                interface.rename(&name)?;
            }
            interface.name = name;
        }
        Ok(interface)
    }

    /// Returns the path of a key of the backend.
    fn key(&self, name: &str) -> String {
        if self.call.is_of_tap() {
            format!("backend/vif/{}/{}/{name}", self.domain, self.device)
        } else {
            self.call.key(name)
        }
    }

    /// Returns the value of a key of the backend, unless it is empty.
    fn get(&self, name: &str) -> Result<Option<String>, Failure> {
        Ok(self.store.get(&self.key(name))?.filter(|v| !v.is_empty()))
    }

    /// Returns the value of a key of the backend, or else of a variable.
    fn wish(&self, name: &str) -> Result<Option<String>, Failure> {
        let wish = self.get(name)?;
        Ok(wish.or_else(|| self.call.variable(name).map(str::to_owned)))
    }

    fn rename(&mut self, name: &str) -> Result<(), Failure> {
        let old = self.name.clone();
        if link::is_there(name) {
            return Err(Failure::new(format!(
                "Cannot rename interface {old}. An interface with name {name} already exists."
            )));
        }
        let link = self.index()?;
        self.links
            .rename(link, name)
            .names(format!("ip link set {old} name {name} failed"))
    }

    fn index(&self) -> Result<Index, Failure> {
        link::index(&self.name).names(&self.name)
    }

    /// Makes the interface one that only passes on what others send.
    fn make_port(&mut self) -> Result<(), Failure> {
        let link = self.index()?;
        self.links.down(link, Some(NOBODY)).names(&self.name)?;
        self.links.flush(link).names(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::tests::call;
    use crate::store::tests::Memory;

    const PATH: (&str, &str) = ("XENBUS_PATH", "backend/vif/5/1");

    fn of(words: &[&str], environment: &[(&str, &str)]) -> Result<(), Failure> {
        run(
            &call("vif-bridge", words, environment).unwrap(),
            &Memory::default(),
        )
    }

    #[test]
    fn what_is_of_the_other_kind_is_left_to_another_call() {
        of(&["online", "type_if=tap"], &[PATH]).unwrap();
        of(&["add", "type_if=vif"], &[PATH]).unwrap();
        of(&["remove"], &[PATH]).unwrap();
    }

    #[test]
    fn what_is_missing_is_named() {
        let failed = |words: &[&str]| of(words, &[PATH]).unwrap_err().text;
        assert_eq!(failed(&["online", "type_if=vif"]), "vif is not set");
        assert_eq!(failed(&["add", "type_if=tap"]), "INTERFACE is not set");
        assert_eq!(
            failed(&["online", "type_if=tun"]),
            "unknown interface type tun"
        );
        let gone = of(&["online"], &[PATH, ("vif", "vif5.1"), ("bridge", "lo")]);
        assert!(gone.unwrap_err().text.starts_with("vif5.1: "));
    }

    #[test]
    fn a_tap_is_of_the_domain_that_its_name_has() {
        let environment = [("INTERFACE", "vif5.1-emu")];
        let call = call("vif-bridge", &["add", "type_if=tap"], &environment).unwrap();
        let store = Memory::default();
        let interface = Interface::find(&call, &store).unwrap();
        assert_eq!(interface.key("bridge"), "backend/vif/5/1/bridge");
        assert_eq!(interface.name, "vif5.1-emu");
    }

    #[test]
    fn a_name_that_is_taken_is_refused() {
        let environment = [PATH, ("vif", "vif5.1")];
        let call = call("vif-bridge", &["online"], &environment).unwrap();
        let store = Memory::with([("backend/vif/5/1/vifname", "lo")]);
        let taken = Interface::find(&call, &store).err().unwrap();
        assert_eq!(
            taken.text,
            "Cannot rename interface vif5.1. An interface with name lo already exists."
        );
    }

    #[test]
    fn hooks_count_if_they_can_run() {
        let dir = tempfile::tempdir().unwrap();
        let scripts = dir.path().to_str().unwrap();
        assert!(!has_hooks(scripts));
        let hooks = dir.path().join("vif-post.d");
        fs::create_dir(&hooks).unwrap();
        let hook = hooks.join("a.hook");
        fs::write(&hook, "").unwrap();
        assert!(!has_hooks(scripts));
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(has_hooks(scripts));
    }
}
