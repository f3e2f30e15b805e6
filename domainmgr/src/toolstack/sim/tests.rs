//! Cases in which the model must be as strict as Xen.

use libxl::config;
use uuid::Uuid;

use super::super::live::{self, Live};
use super::model::{Answer, Model};
use crate::frontends::eve::{self, DomainConfig};
use crate::spec::change::Change;
use crate::spec::limits;
use crate::spec::{Mode, Nic, PciDevice, ShutdownReason, Spec, Written};
use crate::toolstack::domain::{DomainId, Life};
use crate::toolstack::error::{Error, ErrorKind};
use crate::toolstack::operation::Limits;

const OURS: Uuid = Uuid::from_u128(1);
const MIB: u64 = 64;

fn spec(uuid: Uuid, mode: Mode, words: &str) -> Spec {
    let config = DomainConfig {
        uuid_and_version: eve::UuidAndVersion {
            uuid: uuid.to_string(),
            version: String::new(),
        },
        display_name: "a".into(),
        app_num: 1,
        kernel: "/k".into(),
        memory: eve::Kilobytes(MIB << 10),
        virtualization_mode: eve::ModeField::Word(mode.word().into()),
        extra_args: words.into(),
        ..DomainConfig::default()
    };
    eve::spec(uuid, &config).unwrap()
}

/// A domain that has just been started.
fn started(xen: &mut Model, mode: Mode, words: &str) -> DomainId {
    let (id, takes) = xen.begin_create(&spec(OURS, mode, words)).unwrap();
    xen.advance(xen.now() + takes);
    xen.end_create(id).unwrap();
    xen.unpause(id).unwrap();
    id
}

fn text<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.unwrap_err().message
}

#[test]
fn a_soft_reset_is_for_hvm_guests_that_have_asked_for_it() {
    let mut xen = Model::default();
    let id = started(&mut xen, Mode::Hvm, "");
    let not_asked = "the domain has not asked for a soft reset: it is";
    assert_eq!(text(xen.soft_reset(id)), format!("{not_asked} running"));
    for (reason, word) in [(0, "poweroff"), (1, "reboot"), (200, "reason 200")] {
        let mut xen = xen.clone();
        xen.shut_down(id, ShutdownReason(reason)).unwrap();
        let words = format!("{not_asked} shut down ({word})");
        assert_eq!(text(xen.soft_reset(id)), words);
        let life = xen.info(id).unwrap().life;
        assert_eq!(life, Life::Shutdown(ShutdownReason(reason)), "untouched");
    }
    xen.shut_down(id, ShutdownReason::SOFT_RESET).unwrap();
    xen.soft_reset(id).unwrap();
    assert_eq!(xen.info(id).unwrap().life, Life::Paused);
    assert_eq!(text(xen.soft_reset(id)), format!("{not_asked} paused"));

    let mut xen = Model::default();
    let id = started(&mut xen, Mode::Pvh, "");
    xen.shut_down(id, ShutdownReason::SOFT_RESET).unwrap();
    let words = "only an HVM domain can be soft-reset";
    assert_eq!(text(xen.soft_reset(id)), words);
}

#[test]
fn the_dead_have_their_memory_until_they_are_gone() {
    let mut xen = Model::new(MIB + MIB / 2);
    let id = started(&mut xen, Mode::Pv, "sim.dying=30");
    xen.begin_destroy(id).unwrap();
    xen.end_destroy(id).unwrap();
    let another = spec(OURS, Mode::Pv, "");
    let words = "not enough memory: 64 MiB needed, 32 MiB free";
    assert_eq!(text(xen.begin_create(&another)), words);
    xen.advance(xen.now() + 29_999);
    assert_eq!(xen.info(id).unwrap().life, Life::Dying);
    assert_eq!(text(xen.begin_create(&another)), words);
    xen.advance(xen.now() + 1);
    assert_eq!(xen.info(id), None);
    xen.begin_create(&another).unwrap();
}

#[test]
fn a_domain_has_its_name_before_it_is_built() {
    let mut xen = Model::default();
    let (id, takes) = xen.begin_create(&spec(OURS, Mode::Pv, "")).unwrap();
    assert_eq!(xen.info(id).unwrap().name.as_deref(), Some("a.1"));
    let theirs = spec(Uuid::from_u128(2), Mode::Pv, "");
    let words = "a domain with the name a.1 exists already";
    assert_eq!(text(xen.begin_create(&theirs)), words);
    xen.advance(takes);
    xen.end_create(id).unwrap();
    assert_eq!(text(xen.begin_create(&theirs)), words);
    xen.kill(id).unwrap();
    xen.begin_create(&theirs).unwrap();
}

#[test]
fn a_guest_hears_nothing_before_its_drivers_are_up() {
    // A domain that has just been started has run for a millisecond.
    let boot = 24_999;
    for (mode, words) in [(Mode::Pv, "sim.deaf=25"), (Mode::Pvh, "sim.deaf=25")] {
        let mut xen = Model::default();
        let id = started(&mut xen, mode, words);
        // The guest obeys a request that it finds in xenstore once its drivers are up.
        assert_eq!(xen.request_shutdown(id).unwrap(), Answer::In(boot));
        xen.advance(xen.now() + boot);
        assert_eq!(xen.info(id).unwrap().life, Life::Running);
        assert_eq!(xen.request_shutdown(id).unwrap(), Answer::In(0));
        xen.advance(xen.now() + 2000);
        let off = Life::Shutdown(ShutdownReason::POWEROFF);
        assert_eq!(xen.info(id).unwrap().life, off);
    }
    // libxl does not wait for ever, and takes back a request that was not heard.
    let mut xen = Model::default();
    let id = started(&mut xen, Mode::Pv, "sim.deaf=61");
    assert_eq!(xen.request_shutdown(id).unwrap(), Answer::Never);
    xen.advance(xen.now() + 100_000);
    assert_eq!(xen.info(id).unwrap().life, Life::Running);
    // libxl knows that the drivers of an HVM guest are not up, and a press of the power button is lost.
    for words in ["sim.deaf=25", "sim.deaf=25 sim.nopv"] {
        let mut xen = Model::default();
        let id = started(&mut xen, Mode::Hvm, words);
        let e = xen.request_shutdown(id).unwrap_err();
        assert_eq!(e.kind, ErrorKind::NoParavirt);
        xen.power_button(id).unwrap();
        xen.advance(xen.now() + boot + 2000);
        assert_eq!(xen.info(id).unwrap().life, Life::Running, "it was lost");
        assert_eq!(xen.request_shutdown(id).is_ok(), words == "sim.deaf=25");
        xen.power_button(id).unwrap();
        xen.advance(xen.now() + 2000);
        assert_ne!(xen.info(id).unwrap().life, Life::Running);
    }
}

#[test]
fn a_guest_boots_again_after_a_soft_reset_and_goes_on_booting_where_it_moves() {
    let mut xen = Model::default();
    let id = started(&mut xen, Mode::Hvm, "sim.deaf=25");
    xen.advance(xen.now() + 30_000);
    assert_eq!(xen.request_shutdown(id).unwrap(), Answer::In(0));
    xen.shut_down(id, ShutdownReason::SOFT_RESET).unwrap();
    xen.soft_reset(id).unwrap();
    xen.unpause(id).unwrap();
    assert!(xen.request_shutdown(id).is_err());

    let mut xen = Model::default();
    let id = started(&mut xen, Mode::Pv, "sim.deaf=25");
    xen.advance(xen.now() + 10_000);
    let receiver = xen.receive(id).unwrap();
    xen.shut_down(id, ShutdownReason::SUSPEND).unwrap();
    xen.hand_over(id, receiver).unwrap();
    xen.unpause(receiver).unwrap();
    let Answer::In(rest) = xen.request_shutdown(receiver).unwrap() else {
        panic!("it is deaf")
    };
    assert_eq!(rest / 100, 149, "{rest}");
}

#[test]
fn what_libxl_refuses_on_any_host_is_refused() {
    let build = |spec: &Spec| Model::default().begin_create(spec).map(drop);
    let device = PciDevice {
        address: "00:14.0".parse().unwrap(),
        relaxed: false,
    };
    for (mode, least) in [(Mode::Pv, 4), (Mode::Pvh, 2), (Mode::Hvm, 10)] {
        let mut spec = spec(OURS, mode, "");
        spec.memory_mib = least;
        build(&spec).unwrap();
        spec.memory_mib = least - 1;
        let words = text(build(&spec));
        assert!(words.contains("not enough memory") || words.contains("too large"));
        assert!(least <= limits::least_memory(mode).0);

        spec.memory_mib = MIB;
        spec.max_memory_mib = Some(MIB + 1);
        build(&spec).unwrap();
        spec.assigned.pci = vec![device];
        // The host has no such device, which is checked later.
        let grows = "IOMMU required for device passthrough but not supported together with PoD";
        assert_eq!(text(build(&spec)) == grows, mode != Mode::Pv);
    }
    let card = Nic {
        bridge: None,
        vif: None,
        mac: [2; 6],
        kind: None,
        mtu: None,
        ..Nic::default()
    };
    for (cards, fits) in [
        (limits::EMULATED_CARDS, true),
        (limits::EMULATED_CARDS + 1, false),
    ] {
        let mut spec = spec(OURS, Mode::Hvm, "");
        spec.nics = vec![card.clone(); cards];
        assert_eq!(build(&spec).is_ok(), fits);
        spec.mode = Mode::Pv;
        build(&spec).unwrap();
    }
}

/// An agent that is killed may leave a device in the list whose hotplug script was never started.
#[test]
fn a_device_that_was_attached_in_part_is_attached_anew() {
    let mut xen = Model::default();
    let id = started(&mut xen, Mode::Pv, "");
    let disk = config::Disk::raw("/d", "xvdb");
    let nic = config::Nic {
        mac: Some(config::Mac([2, 0, 0, 0, 0, 9])),
        ..config::Nic::default()
    };
    xen.begin_disk(id, &disk).unwrap();
    xen.begin_nic(id, &nic).unwrap();
    let limits = Limits::default();
    assert_eq!(xen.disk_is_ready(id, &disk, &limits), Ok(false));
    assert_eq!(xen.nic_is_ready(id, &nic, &limits), Ok(false));
    let changes = [
        Change::AttachDisk(Box::new(Written {
            text: String::new(),
            config: disk.clone(),
        })),
        Change::AttachNic(Box::new(Written {
            text: String::new(),
            config: nic.clone(),
        })),
    ];
    // The second time, nothing is missing.
    for _ in 0..2 {
        for change in &changes {
            live::make(&mut xen, id, change, &limits).unwrap();
        }
        assert_eq!(xen.disk_is_ready(id, &disk, &limits), Ok(true));
        assert_eq!(xen.nic_is_ready(id, &nic, &limits), Ok(true));
        assert_eq!(xen.disks(id).unwrap().len(), 1);
        assert_eq!(xen.nics(id).unwrap().len(), 1);
    }
}
