//! Imports the state of a domain from a DomainStatus: agents without a journal had no other record.

use uuid::Uuid;

use super::status::{DiskStatus, DomainStatus, State};
use crate::core::{Desired, Inherited, Record};
use crate::host::disks::name;
use crate::spec::{Copied, Disk, Format, Image};
use crate::toolstack::DomainId;

/// Makes a record from the DomainStatus of an agent without a journal.
///
/// `boot` is the run of the host that the status is about, `wish` is the DomainConfig as it is now, and `copies` are the
/// key's files in the image directory.
#[must_use]
pub fn import(
    key: Uuid,
    status: &DomainStatus,
    boot: Uuid,
    wish: Option<Desired>,
    copies: &[String],
) -> Record {
    let text = |text: &String| Some(text.clone()).filter(|t| !t.is_empty());
    let booting = status.state == State::Booting;
    Record::inherit(Inherited {
        boot,
        // A config with another digest than that of the status is a newer one.
        wish: wish.filter(|w| w.digest == status.config_digest),
        domain: (status.domain_id != 0).then_some(DomainId {
            domid: status.domain_id,
            uuid: key,
        }),
        name: text(&status.domain_name),
        started: status.activated,
        booting,
        halting: status.state == State::Halting,
        suspended: status.suspended_since,
        kept: status
            .preserved
            .iter()
            .map(|p| p.domain_id)
            .filter(|&domid| domid != status.domain_id)
            .map(|domid| DomainId { domid, uuid: key })
            .collect(),
        disks: status.disk_status_list.iter().map(disk).collect(),
        digest: status.config_digest.clone(),
        copies: copies.to_vec(),
        restarts: status.restarts,
        last_exit: text(&status.shutdown_reason),
        last_action: text(&status.shutdown_action),
        ended: status.ended,
        vanished: status.vanished,
        boot_time: status.boot_time,
        error: text(&status.last_err).zip(status.last_err_time),
    })
}

fn disk(status: &DiskStatus) -> Disk {
    let path = &status.active_file_location;
    let file = path.rsplit_once('/').map_or("", |(_, file)| file);
    let format = Format::ALL.into_iter().find(|f| f.word() == status.format);
    Disk {
        path: path.clone(),
        image: (!status.image_sha256.is_empty()).then(|| Image {
            sha256: status.image_sha256.clone(),
            location: status.file_location.clone(),
            copy: name::owner(file).map(|_| Copied {
                name: file.to_owned(),
                preserve: status.preserve,
            }),
        }),
        seed: None,
        shared: false,
        format: format.unwrap_or_default(),
        cdrom: status.devtype == "cdrom",
        least_size: status.maxsizebytes,
        vdev: status.vdev.clone(),
        read_only: status.read_only,
        as_it_is: false,
        attached: None,
    }
}
