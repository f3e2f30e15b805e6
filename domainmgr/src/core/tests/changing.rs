//! Changes to a running domain: their effect on it and on the next one, also when something ends in between.

use std::sync::Arc;

use libxl::config::{Disk, Mac, Nic};

use super::harness::{Harness, obeyed};
use crate::core::{Answer, Op, Order, Until};
use crate::spec::change::{Change, Figures};
use crate::spec::{Mode, Written};
use crate::toolstack::ShutdownReason;
use crate::toolstack::live::Live;

pub(super) const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

pub(super) fn disk(vdev: &str) -> Change {
    Change::AttachDisk(Box::new(Written {
        text: format!("/data,raw,{vdev},rw"),
        config: Disk::raw("/data", vdev),
    }))
}

pub(super) fn nic() -> Change {
    let mac = Mac(MAC);
    Change::AttachNic(Box::new(Written {
        text: format!("mac={mac}"),
        config: Nic::bridge("xenbr0").with_mac(mac),
    }))
}

fn memory(mib: u64) -> Change {
    Change::Set(Figures {
        memory_mib: Some(mib),
        ..Figures::default()
    })
}

fn vcpus(count: u32) -> Change {
    Change::Set(Figures {
        vcpus: Some(count),
        ..Figures::default()
    })
}

fn order(change: Change) -> Order {
    Order::Change(Arc::new(change))
}

fn running(mode: Mode, words: &str) -> Harness {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired_with(true, mode, words, |c| {
        c.max_mem.0 = 128 << 10;
        (c.vcpus, c.max_cpus) = (1, 2);
    })));
    h.advance(5_000);
    assert_eq!(h.state(), "RUNNING");
    h
}

/// Returns the vdevs of the domain's disks, its memory in MiB, and its number of interfaces, as Xen has them.
fn level(h: &mut Harness) -> (Vec<String>, u64, usize) {
    let seen = h.theirs().unwrap();
    let disks = h.xen.disks(seen.id).unwrap();
    let names = disks.into_iter().filter_map(|disk| disk.vdev);
    let nics = h.xen.nics(seen.id).unwrap().len();
    (names.collect(), seen.memory_kib >> 10, nics)
}

fn count(h: &Harness, word: &str) -> usize {
    h.ops.iter().filter(|op| op.word() == word).count()
}

#[track_caller]
fn refuses(h: &mut Harness, change: Change, words: &str) {
    match h.ordered(order(change), 1_000).as_slice() {
        [Answer::Refused(why)] if why.contains(words) => {}
        said => panic!("{said:?}"),
    }
}

#[track_caller]
fn fails(h: &mut Harness, change: Change, words: &str) {
    match h.ordered(order(change), 60_000).as_slice() {
        [Answer::Accepted, Answer::Failed(why)] if why.contains(words) => {}
        said => panic!("{said:?}"),
    }
}

fn waiting(h: &Harness) -> Vec<String> {
    h.published.clone().unwrap().waiting
}

fn changed(h: &Harness) -> Vec<String> {
    h.published.clone().unwrap().changed
}

#[test]
fn what_was_changed_is_there_with_every_domain_that_is_built() {
    let mut h = running(Mode::Pv, "");
    for change in [disk("xvdx"), nic(), memory(96), vcpus(2)] {
        assert_eq!(h.ordered(order(change), 1_000), obeyed());
    }
    let all = (vec!["xvdx".to_owned()], 96, 1);
    assert_eq!(level(&mut h), all);
    assert_eq!(
        changed(&h),
        [
            "attach disk xvdx",
            "attach nic 02:00:00:00:00:09",
            "set memory=96 vcpus=2"
        ]
    );
    assert_eq!(waiting(&h), [""; 0]);
    // The changes survive a restart of the agent, a reboot of the guest, one of the host, a stop and a start.
    h.restart();
    h.half_minutes(1);
    assert_eq!(level(&mut h), all);
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::REBOOT).unwrap());
    h.half_minutes(1);
    assert_eq!((count(&h, "create"), level(&mut h)), (2, all.clone()));
    h.reboot_host();
    h.half_minutes(1);
    assert_eq!((count(&h, "create"), level(&mut h)), (3, all.clone()));
    let until = Until::Started;
    for how in [
        Order::Stop {
            destroy: false,
            until,
        },
        Order::Start {
            anyway: false,
            fresh: false,
            until: Until::Started,
        },
    ] {
        assert_eq!(h.ordered(how, 60_000), obeyed());
    }
    assert_eq!((count(&h, "create"), level(&mut h)), (4, all));
    assert_eq!(count(&h, "change"), 4, "nothing was changed twice");
    let told: Vec<&str> = h.events.iter().map(|e| e.what.as_str()).collect();
    assert_eq!(told.iter().filter(|what| **what == "changed").count(), 4);
}

#[test]
fn what_was_taken_away_stays_away() {
    let mut h = running(Mode::Pv, "");
    h.ordered(order(disk("xvdx")), 1_000);
    h.ordered(order(nic()), 1_000);
    for change in [
        Change::DetachDisk("xvdx".to_owned()),
        Change::DetachNic(MAC),
    ] {
        assert_eq!(h.ordered(order(change), 1_000), obeyed());
    }
    assert_eq!(level(&mut h), (vec![], 64, 0));
    // The domain is as its file says again.
    assert_eq!(changed(&h), [""; 0]);
    h.reboot_host();
    h.half_minutes(1);
    assert_eq!(level(&mut h), (vec![], 64, 0));
}

#[test]
fn a_newer_wish_ends_what_is_remembered_and_leaves_the_domain_as_it_is() {
    let mut h = running(Mode::Pv, "");
    h.ordered(order(disk("xvdx")), 1_000);
    h.wish(Some(Harness::desired_with(true, Mode::Pv, "", |c| {
        c.uuid_and_version.version = "2".into();
    })));
    h.advance(1_000);
    assert_eq!(changed(&h), [""; 0]);
    assert_eq!(level(&mut h).0, ["xvdx"]);
    // As with any other wish, a reboot of the guest builds the same domain again.
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::REBOOT).unwrap());
    h.half_minutes(1);
    assert_eq!(level(&mut h).0, ["xvdx"]);
    h.ordered(Order::Restart, 60_000);
    assert_eq!(level(&mut h).0, [""; 0]);
}

#[test]
fn what_a_running_domain_cannot_have_waits_for_the_next_start() {
    let mut h = running(Mode::Hvm, "");
    let both = Change::Set(Figures {
        memory_mib: Some(256),
        vcpus: Some(2),
        ..Figures::default()
    });
    assert_eq!(h.ordered(order(both), 1_000), obeyed());
    let words = "set memory=256 waits for the next start: the domain that runs can have 128 MiB at the most";
    assert_eq!(waiting(&h), [words]);
    let drive = Change::AttachDisk(Box::new(Written {
        text: String::new(),
        config: Disk::cdrom("/disc", "xvdd"),
    }));
    assert_eq!(h.ordered(order(drive), 1_000), obeyed());
    assert_eq!(level(&mut h), (vec![], 64, 0));
    assert!(waiting(&h)[1].starts_with("attach disk xvdd waits for the next start: an HVM domain"));
    let disc = |path: &str| Change::Insert {
        vdev: "xvdd".to_owned(),
        path: path.to_owned(),
    };
    h.ordered(order(disc("/other")), 1_000);
    assert_eq!(waiting(&h).len(), 2, "the drive comes with this disc");
    h.ordered(Order::Restart, 60_000);
    assert_eq!(level(&mut h), (vec!["xvdd".to_owned()], 256, 0));
    assert_eq!(waiting(&h), [""; 0]);
    let id = h.theirs().unwrap().id;
    assert_eq!(
        h.xen.disks(id).unwrap()[0].pdev_path.as_deref(),
        Some("/other")
    );
    // Now that there is a drive, its disc is changed at once.
    assert_eq!(h.ordered(order(disc("/third")), 1_000), obeyed());
    assert_eq!(
        h.xen.disks(id).unwrap()[0].pdev_path.as_deref(),
        Some("/third")
    );
    let eject = Change::Eject {
        vdev: "xvdd".to_owned(),
    };
    assert_eq!(h.ordered(order(eject.clone()), 1_000), obeyed());
    assert_eq!(h.xen.disks(id).unwrap()[0].pdev_path, None);
    refuses(&mut h, eject, "xvdd: there is no disc in it");
    let away = Change::DetachDisk("xvdd".to_owned());
    assert_eq!(h.ordered(order(away), 1_000), obeyed());
    // The file has no such drive, but the domain has, and a domain that is built from the same spec would have it again.
    let waits = "detach disk xvdd waits for the next start: an HVM domain keeps its CD-ROM drives";
    assert!(waiting(&h)[0].starts_with(waits), "{:?}", waiting(&h));
    h.ordered(Order::Restart, 60_000);
    assert_eq!(level(&mut h), (vec![], 256, 0));
    assert_eq!(changed(&h), ["set memory=256 vcpus=2"]);
}

#[test]
fn without_a_domain_everything_waits() {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(false, Mode::Pv, "")));
    h.advance(5_000);
    assert_eq!(h.ordered(order(memory(96)), 1_000), obeyed());
    assert_eq!(waiting(&h), ["set memory=96 waits for the next start"]);
    assert_eq!(h.ordered(order(disk("xvdx")), 1_000), obeyed());
    refuses(&mut h, disk("xvdx"), "disk: there is a xvdx already");
    let start = Order::Start {
        anyway: false,
        fresh: false,
        until: Until::Started,
    };
    assert_eq!(h.ordered(start, 40_000), obeyed());
    assert_eq!(level(&mut h), (vec!["xvdx".to_owned()], 96, 0));
}

#[test]
fn what_comes_to_nothing_is_not_remembered() {
    for (words, change, reason) in [
        ("sim.noballoon", memory(96), "gets no nearer"),
        ("sim.least=60", memory(32), "gets no nearer"),
        ("sim.fail-attach=1", disk("xvdx"), "unable to add"),
        ("sim.fail-attach=1", nic(), "unable to add"),
    ] {
        let mut h = running(Mode::Pv, words);
        fails(&mut h, change, reason);
        assert_eq!(level(&mut h), (vec![], 64, 0), "{words}");
        assert_eq!((changed(&h).len(), h.state().as_str()), (0, "RUNNING"));
        h.reboot_host();
        h.half_minutes(1);
        assert_eq!(level(&mut h), (vec![], 64, 0), "{words}");
    }
    let mut h = running(Mode::Pv, "sim.cpus");
    h.ordered(order(vcpus(2)), 1_000);
    fails(&mut h, vcpus(1), "uses 2 processors, and not 1");
    assert_eq!(changed(&h), ["set vcpus=2"]);
    let mut h = running(Mode::Pv, "sim.clings");
    h.ordered(order(disk("xvdx")), 1_000);
    let away = Change::DetachDisk("xvdx".to_owned());
    fails(&mut h, away, "does not let go of it");
    assert_eq!(level(&mut h).0, ["xvdx"]);
    assert_eq!(changed(&h), ["attach disk xvdx"]);
}

/// The next domain of a guest that is restarted is built from the last one's spec.
#[test]
fn what_is_taken_away_before_a_restart_stays_away() {
    let mut h = running(Mode::Pv, "lab.action=reboot lab.after=9");
    h.ordered(order(disk("xvdx")), 1_000);
    h.ordered(order(nic()), 1_000);
    assert_eq!(level(&mut h), (vec!["xvdx".to_owned()], 64, 1));
    let rests = |h: &Harness| h.published.as_ref().unwrap().next_retry.is_some();
    while !rests(&h) {
        h.advance(100);
    }
    for away in [
        Change::DetachDisk("xvdx".to_owned()),
        Change::DetachNic(MAC),
    ] {
        assert_eq!(h.ordered(order(away), 10), obeyed());
    }
    assert!(rests(&h));
    while h.state() != "RUNNING" {
        h.advance(100);
    }
    assert_eq!(level(&mut h), (vec![], 64, 0));
    assert_eq!(changed(&h), [""; 0]);
}

#[test]
fn what_no_domain_can_have_is_refused() {
    let mut h = running(Mode::Pv, "");
    let disc = Change::Insert {
        vdev: "xvdx".to_owned(),
        path: "/disc".to_owned(),
    };
    refuses(
        &mut h,
        disc.clone(),
        "xvdx: there is no such disk, nor any other",
    );
    refuses(&mut h, memory(3), "memory: 3 MiB, but a PV domain needs 4");
    refuses(&mut h, vcpus(0), "vcpus: 0, but a PV domain has 1 to 512");
    refuses(
        &mut h,
        Change::DetachDisk("xvdz".to_owned()),
        "disk: there is no xvdz, nor any other",
    );
    refuses(
        &mut h,
        Change::DetachNic(MAC),
        "nic: there is none with the address 02:00:00:00:00:09",
    );
    h.ordered(order(disk("xvdx")), 1_000);
    refuses(&mut h, disk("xvdx"), "disk: there is a xvdx already: xvdx");
    refuses(&mut h, disc, "xvdx: it is no CD-ROM drive");
    h.ordered(Order::Pause, 1_000);
    refuses(&mut h, memory(32), "it is paused");
    let share = Change::Set(Figures {
        weight: Some(512),
        ..Figures::default()
    });
    assert_eq!(h.ordered(order(share), 1_000), obeyed());
    h.ordered(Order::Unpause, 1_000);
    let until = Until::Started;
    assert_eq!(
        h.ordered(Order::Save { until, file: None }, 5_000),
        obeyed()
    );
    refuses(&mut h, memory(32), "it is saved");
}

/// The result of the change is unknown: the next agent looks at the domain, and completes the change.
#[test]
fn a_change_whose_end_nobody_has_seen_is_neither_lost_nor_doubled() {
    for change in [disk("xvdx"), nic(), memory(96)] {
        let mut h = running(Mode::Pv, "");
        h.dies = true;
        h.order(order(change.clone()));
        h.half_minutes(2);
        assert!(!h.dies);
        h.has_what_was_changed().unwrap();
        assert_eq!((changed(&h).len(), waiting(&h).len()), (1, 0), "{change}");
        assert_eq!(count(&h, "change"), 2);
        // The host goes down before the change is made: the next domain has it.
        let mut h = running(Mode::Pv, "");
        h.order(order(change.clone()));
        h.advance(2);
        assert!(h.is_busy());
        h.reboot_host();
        h.half_minutes(2);
        h.has_what_was_changed().unwrap();
        assert_eq!((changed(&h).len(), waiting(&h).len()), (1, 0), "{change}");
        assert_eq!(count(&h, "change"), 1);
    }
    // The disk is taken away, and the agent does not learn of that.
    let mut h = running(Mode::Pv, "");
    h.ordered(order(disk("xvdx")), 1_000);
    h.dies = true;
    h.order(order(Change::DetachDisk("xvdx".to_owned())));
    h.half_minutes(2);
    assert_eq!((level(&mut h).0.len(), changed(&h).len()), (0, 0));
}

/// A newer wish comes while it is unknown whether the domain has the change. The change is completed, so that this is
/// known.
#[test]
fn a_change_that_was_cut_short_and_given_up_is_still_known_of() {
    let mut h = running(Mode::Pv, "");
    h.order(order(disk("xvdx")));
    h.advance(2);
    assert!(h.is_busy());
    h.restart_with(Harness::desired_with(true, Mode::Pv, "", |c| {
        c.uuid_and_version.version = "2".into();
    }));
    h.half_minutes(1);
    assert_eq!((level(&mut h).0.len(), changed(&h).len()), (1, 0));
    let disks = h.published.clone().unwrap().disk_status_list;
    assert_eq!(disks.first().map(|disk| disk.vdev.as_str()), Some("xvdx"));
}

#[test]
fn one_comes_after_the_other_and_a_stop_goes_before() {
    let mut h = running(Mode::Pv, "");
    let first = h.order(order(disk("xvdx")));
    assert!(h.is_busy());
    let second = h.order(order(nic()));
    let third = h.order(Order::Pause);
    h.advance(1_000);
    for id in [first, second, third] {
        assert!(h.answers.contains(&(id, Answer::Done)), "{:?}", h.answers);
    }
    assert_eq!((level(&mut h).0.len(), level(&mut h).2), (1, 1));
    h.ordered(Order::Unpause, 1_000);
    let cut = h.order(order(memory(96)));
    let until = Until::Started;
    let stop = Order::Stop {
        destroy: false,
        until,
    };
    assert_eq!(h.ordered(stop, 60_000), obeyed());
    let said = h.answers.iter().find_map(|(of, answer)| match answer {
        Answer::Failed(why) if *of == cut => Some(why.as_str()),
        _ => None,
    });
    assert_eq!(said, Some("given up: root asked for stop"));
    assert_eq!(changed(&h).len(), 2, "{:?}", changed(&h));
    assert!(matches!(
        h.ops.last(),
        Some(Op::Destroy(_) | Op::Shutdown(_))
    ));
}
