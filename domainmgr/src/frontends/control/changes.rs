//! The methods that change a domain while it runs.

use std::sync::Arc;

use varlink::Call;

use super::parse::Wanted;
use super::service::{Service, bad, complain};
use super::wire::{Attach, Detach, Eject, Insert, Kind, Set};
use crate::core::Order;
use crate::frontends::control::parse;
use crate::frontends::eve::DomainStatus;
use crate::frontends::xl;
use crate::spec::Mode;
use crate::spec::change::Change;

/// Reason why a USB device cannot be attached to a running domain, or detached from it.
const NOT_LIVE: &str = "usb: USB devices come and go with a start of the domain only: name them in its file, and restart it";

impl Service {
    /// Orders the change that `read` returns, for the domain of this name.
    fn change(
        &self,
        call: &mut Call,
        name: &str,
        read: impl FnOnce(&DomainStatus) -> Result<Change, String>,
    ) -> varlink::Result<()> {
        let status = match self.find(name) {
            Ok((_, status)) => status,
            Err(bad) => return complain(call, bad),
        };
        match read(&status) {
            Ok(change) => self.order(call, name, &Order::Change(Arc::new(change))),
            Err(why) => complain(call, bad("Refused", &status, &why)),
        }
    }

    fn host(&self) -> Result<Arc<xl::Host>, String> {
        let hosts = &self.sources.hosts;
        hosts.get().map_err(|why| format!("the host: {why}"))
    }

    pub(super) fn attach(&self, call: &mut Call, attach: &Attach) -> varlink::Result<()> {
        self.change(call, &attach.name, |status| match attach.kind {
            Kind::Disk => parse::disk(&attach.spec, self.host()?.as_ref()),
            Kind::Nic => parse::nic(&attach.spec, self.host()?.as_ref(), mode(status)),
            Kind::Pci => parse::pci(&attach.spec, self.host()?.as_ref()),
            Kind::Usb => Err(NOT_LIVE.to_owned()),
        })
    }

    pub(super) fn detach(&self, call: &mut Call, detach: &Detach) -> varlink::Result<()> {
        let which = &detach.which;
        self.change(call, &detach.name, |status| match detach.kind {
            Kind::Disk => Ok(Change::DetachDisk(which.clone())),
            Kind::Nic => parse::which_nic(which, &status.vif_list),
            Kind::Pci => parse::which_pci(which),
            Kind::Usb => Err(NOT_LIVE.to_owned()),
        })
    }

    pub(super) fn insert(&self, call: &mut Call, insert: Insert) -> varlink::Result<()> {
        let Insert { name, vdev, file } = insert;
        self.change(call, &name, |_| Ok(Change::Insert { vdev, path: file }))
    }

    pub(super) fn eject(&self, call: &mut Call, eject: Eject) -> varlink::Result<()> {
        let Eject { name, vdev } = eject;
        self.change(call, &name, |_| Ok(Change::Eject { vdev }))
    }

    pub(super) fn set(&self, call: &mut Call, set: &Set) -> varlink::Result<()> {
        let wanted = Wanted {
            memory: set.memory,
            vcpus: set.vcpus,
            cpus: set.cpus.as_deref(),
            weight: set.weight,
            cap: set.cap,
        };
        self.change(call, &set.name, |_| {
            parse::figures(&wanted, self.host()?.as_ref())
        })
    }
}

/// Returns the virtualisation mode of a domain.
fn mode(status: &DomainStatus) -> Mode {
    let all = [Mode::Pv, Mode::Hvm, Mode::Pvh];
    let word = status.virtualization_mode_name.as_str();
    let found = all.into_iter().find(|mode| mode.word() == word);
    found.unwrap_or_default()
}
