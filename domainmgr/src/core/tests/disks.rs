//! Disks: made ready before the domain is built, and copies that live as long as the guest does.

use super::harness::{COPYING, Harness};
use crate::base::progress::Progress;
use crate::core::disks::make_ready;
use crate::core::{Desired, Facts, Op};
use crate::frontends::eve::DiskConfig;
use crate::frontends::wish::WishFile;
use crate::host::disks::Copies;
use crate::spec::Mode;
use crate::spec::settings::Settings;
use crate::toolstack::ShutdownReason;

/// Two images, one of them preserved.
fn config(activate: bool, hash: &str, more: &str) -> Desired {
    Harness::desired_with(activate, Mode::Pv, more, |c| {
        let disk = |image_sha256: &str, preserve| DiskConfig {
            image_sha256: image_sha256.into(),
            preserve,
            ..DiskConfig::default()
        };
        c.disk_config_list = vec![disk(hash, false), disk("bb", true)];
    })
}

/// Returns descriptions of the operations since the last call.
fn done(h: &mut Harness) -> Vec<String> {
    let ops = std::mem::take(&mut h.ops);
    ops.iter()
        .map(|op| match op {
            Op::Disks(_, Copies::Fresh, _) => "fresh".into(),
            Op::Disks(_, Copies::Keep, _) => "keep".into(),
            Op::Discard(names) => format!("discard {}", names.join(" ")),
            op => op.word().to_owned(),
        })
        .collect()
}

fn up() -> Harness {
    let mut h = Harness::new();
    h.wish(Some(config(true, "aa", "")));
    h.advance(60_000);
    assert_eq!(h.state(), "RUNNING");
    h
}

const COPY: &str = "aa-00000000-0000-0000-0000-00000000000a.raw";

#[test]
fn disks_are_ready_before_the_domain_is_built_and_from_there() {
    let mut h = up();
    let built = h.ops.iter().find_map(|op| match op {
        Op::Create(spec) => Some(spec.disks[1].path.clone()),
        _ => None,
    });
    assert_eq!(built.unwrap(), "/ready/xvdb");
    assert_eq!(done(&mut h), ["fresh", "create", "unpause"]);
    let status = h.published.as_ref().unwrap();
    let shown = &status.disk_status_list[1];
    assert_eq!(shown.active_file_location, "/ready/xvdb");
    assert!(shown.preserve);
    assert_eq!(status.tried_count, 1);
}

#[test]
fn a_guest_that_restarts_goes_on_with_what_it_has_written() {
    for action in ["restart", "rename-restart", "coredump-restart"] {
        let mut h = Harness::new();
        let mut wish = config(true, "aa", "");
        let Ok(WishFile::Eve(config)) = WishFile::of(&wish.origin) else {
            panic!("a DomainConfig")
        };
        let mut changed = (*config).clone();
        changed.on_reboot = action.into();
        wish.spec = crate::frontends::eve::spec(super::harness::KEY, &changed)
            .map(std::sync::Arc::new)
            .map_err(|e| e.to_string());
        h.wish(Some(wish));
        h.advance(60_000);
        done(&mut h);
        h.outside(|xen, id| xen.shut_down(id, ShutdownReason::REBOOT).unwrap());
        h.advance(60_000);
        assert_eq!(h.state(), "RUNNING", "{action}");
        let ops = done(&mut h);
        assert!(ops.contains(&"keep".into()), "{action}: {ops:?}");
        assert!(!ops.iter().any(|op| op.starts_with("discard")), "{ops:?}");
    }
}

#[test]
fn also_if_the_agent_is_killed_in_the_middle() {
    let mut h = up();
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::REBOOT).unwrap());
    // The domain is down, and its disks are being made ready.
    h.advance(1_000);
    assert_eq!(h.state(), "BOOTING");
    assert!(h.domain().is_none());
    done(&mut h);
    h.restart();
    h.advance(60_000);
    // Adapters that an earlier run may have reserved are given up: this domain needs none.
    assert_eq!(done(&mut h), ["release", "keep", "create", "unpause"]);
}

#[test]
fn stopped_and_started_it_begins_from_the_image() {
    let mut h = up();
    done(&mut h);
    h.wish(Some(config(false, "aa", "")));
    h.advance(60_000);
    assert_eq!(h.state(), "HALTED");
    // The copy is discarded once, and the preserved one is not.
    let ops = done(&mut h);
    assert_eq!(ops, ["shutdown", "destroy", &format!("discard {COPY}")]);
    h.half_minutes(3);
    assert_eq!(done(&mut h), [""; 0]);
    h.wish(Some(config(true, "aa", "")));
    h.advance(60_000);
    assert_eq!(done(&mut h), ["fresh", "create", "unpause"]);
}

#[test]
fn ended_by_itself_it_begins_from_the_image_at_the_next_wish() {
    let mut h = up();
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::POWEROFF).unwrap());
    h.advance(60_000);
    assert_eq!(h.state(), "HALTED");
    done(&mut h);
    h.wish(Some(config(true, "aa", "newer")));
    h.advance(60_000);
    assert_eq!(done(&mut h), ["fresh", "create", "unpause"]);
}

#[test]
fn a_newer_wish_for_other_disks_ends_the_copying() {
    let mut h = Harness::new();
    h.wish(Some(config(true, "aa", "")));
    h.advance(COPYING / 2);
    assert_eq!((h.state().as_str(), h.is_busy()), ("BOOTING", true));
    // With the same disks, the copies made so far are not thrown away.
    h.wish(Some(config(true, "aa", "newer")));
    h.advance(100);
    assert_eq!(done(&mut h), ["fresh"]);
    h.wish(Some(config(true, "cc", "newer")));
    h.advance(60_000);
    assert_eq!(h.state(), "RUNNING");
    let ops = done(&mut h);
    assert_eq!(ops, ["fresh", "create", "unpause"]);
    let status = h.published.as_ref().unwrap();
    assert_eq!(status.disk_status_list[0].image_sha256, "cc");
    assert_eq!((status.tried_count, status.last_err.as_str()), (1, ""));
}

#[test]
fn a_wish_to_stop_ends_the_copying() {
    let mut h = Harness::new();
    h.wish(Some(config(true, "aa", "")));
    h.advance(COPYING / 2);
    h.wish(Some(config(false, "aa", "")));
    h.advance(1_000);
    assert_eq!(h.state(), "INSTALLED");
    assert_eq!(done(&mut h), ["fresh", &format!("discard {COPY}")]);
    assert_eq!(h.published.as_ref().unwrap().last_err, "");
}

#[test]
fn a_copy_that_fails_is_a_boot_that_fails() {
    let mut h = Harness::with(Settings::default());
    h.fails = |op| matches!(op, Op::Disks(..));
    h.wish(Some(config(true, "aa", "")));
    h.advance(30_000);
    let status = h.published.clone().unwrap();
    assert!(status.boot_failed);
    assert_eq!(status.tried_count, 3);
    assert_eq!(status.last_err, "boot failed: no (simulated)");
    assert_eq!(
        done(&mut h),
        ["fresh", "fresh", "fresh"],
        "nothing is built"
    );
    h.fails = |_| false;
    h.advance(660_000);
    assert_eq!(h.state(), "RUNNING");
}

#[test]
fn a_build_that_fails_does_not_copy_again() {
    let mut h = Harness::new();
    h.fails = |op| matches!(op, Op::Create(_));
    h.wish(Some(config(true, "aa", "")));
    h.advance(70_000);
    h.fails = |_| false;
    h.advance(660_000);
    assert_eq!(h.state(), "RUNNING");
    let ops = done(&mut h);
    assert_eq!(ops.iter().filter(|op| *op == "fresh").count(), 1, "{ops:?}");
}

#[test]
fn how_far_it_is_shows_while_it_copies() {
    let mut h = Harness::new();
    h.wish(Some(config(true, "aa", "")));
    h.advance(1_000);
    h.progress(Progress {
        disk: Some(1),
        done: 3 << 30,
        total: 4 << 30,
        rate: None,
    });
    let status = h.published.clone().unwrap();
    assert_eq!(status.disk_status_list[1].progress, 75);
    assert_eq!(
        status.state_reason,
        "copying the image of disk 1: 75 % of 4096 MiB"
    );
    h.advance(60_000);
    let status = h.published.clone().unwrap();
    assert_eq!(status.disk_status_list[1].progress, 0);
    assert_eq!(status.state_reason, "");
}

/// A running domain has the disks it was built with, whatever the newest file says.
#[test]
fn a_running_domain_shows_its_own_disks() {
    let mut h = up();
    h.wish(Some(config(true, "cc", "")));
    h.half_minutes(1);
    let shows = |h: &Harness| {
        let status = h.published.as_ref().unwrap();
        status.disk_status_list[0].image_sha256.clone()
    };
    assert_eq!(shows(&h), "aa");
    h.restart();
    h.half_minutes(1);
    assert_eq!((h.state().as_str(), shows(&h).as_str()), ("RUNNING", "aa"));
}

/// The cloud-init data is on a disk of its own.
#[test]
fn newer_user_data_does_not_end_the_copying() {
    let wish = |data: &str| {
        Harness::desired_with(true, Mode::Pv, "", |c| {
            c.disk_config_list = vec![DiskConfig {
                image_sha256: "aa".into(),
                ..DiskConfig::default()
            }];
            c.cloud_init_user_data = crate::frontends::eve::Bytes(data.into());
        })
    };
    let mut h = Harness::new();
    h.wish(Some(wish("aGk=")));
    h.advance(COPYING / 2);
    h.wish(Some(wish("aG8=")));
    h.advance(COPYING / 2 + 1_000);
    assert_eq!(h.notes.iter().filter(|n| n.contains("given up")).count(), 0);
    h.advance(60_000);
    assert_eq!(h.state(), "RUNNING");
    let built = h.ops.iter().find_map(|op| match op {
        Op::Create(spec) => spec.disks[1].seed.clone(),
        _ => None,
    });
    assert_eq!(built.unwrap().user_data, b"ho", "the newer one");
}

#[test]
fn a_copy_of_an_older_agent_is_expected_under_its_name() {
    let mut f = Facts::new(uuid::Uuid::nil(), Settings::default());
    f.disks.copies = Copies::Keep;
    let spec = config(true, "aa", "").spec.unwrap();
    let old = COPY.replace("aa-", "AA-");
    f.disks.whole = [old.clone(), "aa-of-another.raw".to_owned()].into();
    let Op::Disks(_, _, expected) = make_ready(&mut f, spec) else {
        panic!("not its disks");
    };
    assert_eq!(expected, [old].into());
}
