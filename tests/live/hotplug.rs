//! Devices that are added and removed while a guest runs.

use std::{fs::File, path::PathBuf, process::Command, thread, time::Duration};

use libxl::{
    AbortHandle, ErrorKind, Limits,
    config::{Disk, DiskBackend, DiskFormat, Mac, Nic},
    device::XenbusState,
    have,
};

use crate::support::{
    Guest, Kind, config, context, tiny_config, unique, wait_for, watcher, xl, xl_is_there,
};

/// An empty image, removed at the end.
struct Image(PathBuf);

impl Image {
    fn new() -> Self {
        let path = PathBuf::from(format!("/tmp/{}.img", unique("disk")));
        File::create(&path).unwrap().set_len(1 << 20).unwrap();
        Self(path)
    }

    fn disk(&self, vdev: &str) -> Disk {
        Disk::raw(self.0.to_str().unwrap(), vdev)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_nic_comes_and_goes() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(
        &ctx,
        &watcher,
        &config(Kind::Pv, "nic", "lab.modules=xen-netfront"),
    );
    guest.wait_until_up();
    let domain = &guest.domain;
    assert_eq!(domain.nic_list().unwrap(), []);

    let mac = Mac([0x00, 0x16, 0x3e, 0x11, 0x22, 0x33]);
    let nic = Nic::bridge("xenbr0").with_mac(mac);
    let nic = domain.nic_add(&nic).unwrap().wait().unwrap();
    assert_eq!(nic.devid, Some(0));
    assert_eq!(nic.mac, Some(mac));
    let listed = domain.nic_list().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].mac, listed[0].devid), (Some(mac), Some(0)));
    assert_eq!(domain.nic_by_mac(mac).unwrap(), listed[0]);
    let error = domain.nic_by_mac(Mac([2; 6])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:#}");
    assert_eq!(domain.nic_by_devid(0).unwrap(), listed[0]);
    let error = domain.nic_by_devid(5).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:#}");

    wait_for("the guest to connect it", || {
        domain.nic_info(&nic).unwrap().state == XenbusState::CONNECTED
    });
    let info = domain.nic_info(&nic).unwrap();
    assert_eq!((info.frontend_id, info.backend_id), (guest.id().domid.0, 0));
    // Without `evtch`: this frontend has an event channel for each direction.
    assert!(info.rref_tx > 0 && info.rref_rx > 0, "{info:?}");
    if xl_is_there() {
        let theirs = xl(&["network-list", &guest.name]);
        assert!(theirs.contains(&mac.to_string()), "{theirs}");
    }
    // The stored configuration, from which the domain would be restarted, has the interface as well.
    let config = domain.retrieve_configuration().wait().unwrap();
    assert_eq!(
        config.nics.iter().map(|nic| nic.mac).collect::<Vec<_>>(),
        [Some(mac)]
    );

    domain.nic_remove(&nic).unwrap().wait().unwrap();
    assert_eq!(domain.nic_list().unwrap(), []);

    let other = domain
        .nic_add(&Nic::bridge("xenbr0"))
        .unwrap()
        .wait()
        .unwrap();
    assert!(
        other
            .mac
            .is_some_and(|mac| mac.0[..3] == [0x00, 0x16, 0x3e]),
        "{other:?}"
    );
    domain.nic_destroy(&other).unwrap().wait().unwrap();
    assert_eq!(domain.nic_list().unwrap(), []);
}

#[test]
fn a_disk_comes_and_goes() {
    let ctx = context();
    let watcher = watcher();
    let (first, second) = (Image::new(), Image::new());
    let guest = Guest::start(
        &ctx,
        &watcher,
        &config(Kind::Pv, "disk", "lab.modules=xen-blkfront"),
    );
    guest.wait_until_up();
    let domain = &guest.domain;
    assert_eq!(domain.disk_list().unwrap(), []);

    let disk = domain
        .disk_add(&first.disk("xvdb"))
        .unwrap()
        .wait()
        .unwrap();
    assert!(disk.backend.is_some(), "{disk:?}");
    let read_only = second.disk("xvdc").read_only();
    domain.disk_add(&read_only).unwrap().wait().unwrap();
    let listed = domain.disk_list().unwrap();
    let seen: Vec<_> = listed
        .iter()
        .map(|disk| (disk.vdev.as_deref(), disk.readwrite))
        .collect();
    assert_eq!(seen, [(Some("xvdb"), true), (Some("xvdc"), false)]);
    assert_eq!(
        domain.disk_by_vdev("xvdc").unwrap().pdev_path,
        read_only.pdev_path
    );
    let error = domain.disk_by_vdev("xvdz").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:#}");

    wait_for("the guest to connect it", || {
        domain.disk_info(&disk).unwrap().state == XenbusState::CONNECTED
    });
    let info = domain.disk_info(&disk).unwrap();
    assert!(info.evtch > 0, "{info:?}");

    let again = domain
        .disk_add(&first.disk("xvdb"))
        .unwrap()
        .wait()
        .unwrap_err();
    assert_eq!(again.kind(), ErrorKind::DeviceExists, "{again:#}");

    domain.disk_remove(&disk).unwrap().wait().unwrap();
    let rest = domain.disk_list().unwrap();
    assert_eq!(rest.len(), 1);
    match domain.disk_safe_remove(&rest[0]) {
        Ok(operation) => operation.wait().unwrap(),
        Err(error) => {
            assert!(!have("disk_safe_remove"), "{error:#}");
            domain.disk_destroy(&rest[0]).unwrap().wait().unwrap();
        }
    }
    assert_eq!(domain.disk_list().unwrap(), []);
}

#[test]
fn a_disk_without_a_guest_that_answers_is_taken_by_force() {
    let ctx = context();
    let watcher = watcher();
    let image = Image::new();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "force", ""));
    guest.wait_until_up();
    let domain = &guest.domain;
    let disk = domain
        .disk_add(&image.disk("xvda"))
        .unwrap()
        .wait()
        .unwrap();
    domain.disk_destroy(&disk).unwrap().wait().unwrap();
    assert_eq!(domain.disk_list().unwrap(), []);
    // Only HVM guests have CD drives.
    let error = domain
        .cdrom_insert(&Disk::empty_cdrom("hdc"))
        .unwrap()
        .wait()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:#}");
}

#[test]
fn what_does_not_fit_is_said_before_anything_is_done() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "unfit", ""));
    let domain = &guest.domain;
    let nul = Nic::bridge("xen\0br0");
    let error = domain.nic_add(&nul).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:#}");
    assert!(error.to_string().contains("bridge"), "{error:#}");
    let unknown = Disk {
        backend: Some(DiskBackend::Other("floppy".into())),
        ..Disk::raw("/tmp/none", "xvda")
    };
    let error = domain.disk_add(&unknown).unwrap_err();
    assert!(
        error.to_string().contains("does not take: backend"),
        "{error:#}"
    );
    assert_eq!(domain.disk_list().unwrap(), []);

    let missing = domain
        .disk_add(&Disk::raw("/tmp/there/is/none", "xvda"))
        .unwrap();
    missing
        .deadline(Duration::from_secs(60))
        .wait()
        .unwrap_err();
    let error = domain
        .nic_info(&Nic {
            devid: Some(3),
            ..Nic::default()
        })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed, "{error:#}");
    guest.destroy();
    let error = domain.nic_list().unwrap_err();
    assert!(error.is_domain_gone(), "{error:#}");
}

/// The drive of an HVM guest. The device model is told about the change.
#[test]
fn a_disc_is_changed() {
    let ctx = context();
    let watcher = watcher();
    let (first, second) = (Image::new(), Image::new());
    let drive = Disk {
        readwrite: false,
        ..Disk::cdrom(first.0.to_str().unwrap(), "hdc")
    };
    let config = config(Kind::Hvm, "disc", "").disk(drive.clone());
    let guest = Guest::create(&ctx, &watcher, &config);
    let domain = &guest.domain;
    let medium = || {
        domain
            .disk_by_vdev("hdc")
            .unwrap()
            .pdev_path
            .filter(|path| !path.is_empty())
    };
    assert_eq!(medium(), drive.pdev_path);
    let other = Disk::cdrom(second.0.to_str().unwrap(), "hdc");
    domain.cdrom_insert(&other).unwrap().wait().unwrap();
    assert_eq!(medium(), other.pdev_path);
    domain
        .cdrom_insert(&Disk::empty_cdrom("hdc"))
        .unwrap()
        .wait()
        .unwrap();
    assert_eq!(medium(), None);
    // A listed drive can be queried and removed, even without a disc.
    let empty = domain.disk_by_vdev("hdc").unwrap();
    assert_eq!(
        domain.disk_info(&empty).unwrap().frontend_id,
        guest.id().domid.0
    );
    domain.disk_destroy(&empty).unwrap().wait().unwrap();
    assert_eq!(domain.disk_list().unwrap(), []);
}

/// A paravirtual guest writes to xenstore that it ejects a disc. Here the test writes it instead.
#[test]
fn an_eject_is_heard_of() {
    let ctx = context();
    let watcher = watcher();
    let image = Image::new();
    let disc = Disk {
        removable: true,
        ..image.disk("xvdb")
    };
    let config = tiny_config(Kind::Pv, "eject", "").disk(disc);
    let guest = Guest::create(&ctx, &watcher, &config);
    let error = guest.domain.watch_disk_eject("xvdc").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:#}");

    let ejects = guest.domain.watch_disk_eject("xvdb").unwrap();
    assert_eq!(ejects.vdev(), "xvdb");
    let path = format!("/local/domain/{}/device/vbd/51728/eject", guest.id().domid);
    let eject = || {
        let mut write = Command::new("xenstore-write");
        let status = write.args([path.as_str(), "eject"]).status();
        assert!(status.unwrap().success());
    };
    // An eject counts while somebody waits, and before.
    let long = Limits::none().deadline(crate::support::LONG);
    let heard = thread::scope(|scope| {
        let waiting = scope.spawn(|| ejects.wait(&long));
        eject();
        waiting.join().unwrap().unwrap()
    });
    assert_eq!(heard.vdev.as_deref(), Some("xvdb"));
    assert!(heard.removable && heard.is_cdrom && !heard.readwrite);
    assert_eq!(heard.format, Some(DiskFormat::Empty));
    eject();
    assert_eq!(ejects.wait(&long).unwrap(), heard);

    let short = Limits::none().deadline(Duration::from_millis(50));
    let error = ejects.wait(&short).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:#}");
    let enough = AbortHandle::new();
    let error = thread::scope(|scope| {
        let waiting = scope.spawn(|| ejects.wait(&Limits::none().abort_with(&enough)));
        enough.abort();
        waiting.join().unwrap().unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::Aborted, "{error:#}");
    // An eject that nobody has waited for remains for the next watch.
    eject();
    drop(ejects);
    let ejects = guest.domain.watch_disk_eject("xvdb").unwrap();
    assert_eq!(ejects.wait(&long).unwrap(), heard);
}
