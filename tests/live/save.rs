//! Saving, restoring and checkpointing, and the state of the guest when these fail.

use std::{
    fs::{self, File},
    os::fd::AsFd,
    path::Path,
    process::Command,
    time::Duration,
};

use libxl::{
    AbortHandle, DomainConfig, DomainEvent, DomainState, ErrorKind, Limits, SavedHeader, Saving,
    ShutdownReason, Source,
};

use crate::support::{
    Guest, Kind, config, context, outsider_is_there, tiny_config, unique, wait_for, watcher, xl,
};

/// A file name in a temporary directory.
struct SaveFile(tempfile::TempDir);

impl SaveFile {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("guest.saved")
    }
}

fn saved_and_restored(config: &DomainConfig) {
    let ctx = context();
    let watcher = watcher();
    let file = SaveFile::new();
    let guest = Guest::start(&ctx, &watcher, config);
    guest.wait_until_up();
    wait_for("the guest to count", || guest.uptimes().len() > 1);

    let mut reports = 0;
    let saving = Saving::new().progress(|progress| {
        assert!(progress.done <= progress.total, "{progress}");
        reports += 1;
    });
    let suspended = guest.domain.save_file(file.path(), saving).unwrap();
    assert!(reports > 0, "no progress was reported");
    assert_eq!(
        guest.state(),
        Some(DomainState::Shutdown(ShutdownReason::SUSPEND))
    );
    let before = guest.uptimes();
    suspended.destroy().wait().unwrap();
    guest.events_until(DomainEvent::Death);

    let saved = File::open(file.path()).unwrap();
    let restored = ctx.restore(&saved, &Limits::none()).unwrap();
    let restored = Guest::of(restored, &watcher);
    assert_eq!(restored.name, guest.name);
    assert_eq!(restored.id().uuid, guest.id().uuid);
    assert_ne!(restored.id().domid, guest.id().domid);
    assert_eq!(restored.state(), Some(DomainState::Paused));
    restored.domain.unpause().wait().unwrap();
    wait_for("the guest to go on counting", || {
        restored.uptimes().len() > before.len() + 1
    });
    let uptimes = restored.uptimes();
    assert!(
        uptimes.is_sorted(),
        "it started from the beginning: {uptimes:?}"
    );
    restored.still_lives_and_dies();
}

#[test]
fn case_15_a_saved_pv_guest_goes_on_where_it_was() {
    saved_and_restored(&config(Kind::Pv, "saved", "lab.tick=1"));
}

#[test]
fn case_15_a_saved_pvh_guest_goes_on_where_it_was() {
    saved_and_restored(&config(Kind::Pvh, "saved", "lab.tick=1"));
}

#[test]
fn case_15_a_saved_hvm_guest_goes_on_where_it_was() {
    saved_and_restored(&config(Kind::Hvm, "saved", "lab.tick=1"));
}

#[test]
fn case_15_a_saved_small_guest_goes_on_where_it_was() {
    for kind in [Kind::Pv, Kind::Pvh] {
        saved_and_restored(&tiny_config(kind, "saved", "lab.tick=1"));
    }
}

#[test]
fn case_02_a_checkpoint_does_not_hide_the_end() {
    let ctx = context();
    let watcher = watcher();
    let file = SaveFile::new();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "checkpoint", ""));
    guest.wait_until_up();
    guest
        .domain
        .checkpoint(file.path(), Saving::new().live())
        .unwrap();
    let header = SavedHeader::read(File::open(file.path()).unwrap(), &Limits::none()).unwrap();
    assert_eq!(header.config.c_info.name, guest.name);
    guest.domain.reboot().wait().unwrap();
    guest.events_until(DomainEvent::Shutdown(ShutdownReason::REBOOT));
}

/// Nobody reads the pipe, so the save is stuck in the middle of the memory.
#[test]
fn case_13_a_save_that_is_given_up_leaves_the_guest_running() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "given-up", ""));
    guest.wait_until_up();
    for live in [true, false] {
        let saving = |limits: Limits| {
            let saving = Saving::new().limits(&limits);
            if live { saving.live() } else { saving }
        };
        let (_reader, writer) = rustix::pipe::pipe().unwrap();
        let limits = Limits::none().deadline(Duration::from_secs(3));
        let failed = guest.domain.save(&writer, saving(limits)).unwrap_err();
        assert_eq!(failed.error.kind(), ErrorKind::TimedOut, "{failed}");
        assert!(
            matches!(failed.source, Source::Runs | Source::MaySuspendYet),
            "{failed}"
        );

        let (_reader, writer) = rustix::pipe::pipe().unwrap();
        let abort = AbortHandle::new();
        let limits = Limits::none().abort_with(&abort);
        let failed = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_secs(2));
                abort.abort();
            });
            guest.domain.save(&writer, saving(limits)).unwrap_err()
        });
        assert_eq!(failed.error.kind(), ErrorKind::Aborted, "{failed}");
    }
    guest.still_lives_and_dies();
}

#[test]
fn a_reader_that_goes_away_leaves_the_guest_running() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "unread", ""));
    guest.wait_until_up();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    drop(reader);
    let failed = guest
        .domain
        .suspend(&writer, Saving::new().live())
        .unwrap_err();
    assert!(matches!(failed.source, Source::Runs), "{failed}");
    assert!(
        format!("{:#}", failed.error).contains("Broken pipe"),
        "{:#}",
        failed.error
    );
    guest.still_lives_and_dies();
}

/// A small file system, unmounted at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(size: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "small"])
            .arg(dir.path())
            .status()
            .unwrap();
        assert!(mount.success());
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn case_13_a_full_disk_leaves_the_guest_running_and_no_file() {
    let ctx = context();
    let watcher = watcher();
    let disk = SmallDisk::new("1m");
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "disk-full", ""));
    guest.wait_until_up();
    let failed = guest
        .domain
        .save_file(disk.path().join("guest.saved"), Saving::new())
        .unwrap_err();
    assert!(matches!(failed.source, Source::Runs), "{failed}");
    assert!(
        format!("{:#}", failed.error).contains("No space left on device"),
        "{:#}",
        failed.error
    );
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 0);
    guest.still_lives_and_dies();
}

#[test]
fn a_panic_of_whoever_hears_of_progress_leaves_the_guest_running() {
    let ctx = context();
    let watcher = watcher();
    let file = SaveFile::new();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "panic", ""));
    guest.wait_until_up();
    let saving = Saving::new().progress(|_| panic!("no good news"));
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        guest.domain.save_file(file.path(), saving)
    }))
    .unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"no good news"));
    assert!(!file.path().exists());
    guest.still_lives_and_dies();
}

/// A domain that somebody else has suspended, perhaps to save it, must be left alone.
#[test]
fn a_domain_that_is_suspended_already_is_left_alone() {
    let ctx = context();
    let watcher = watcher();
    let file = SaveFile::new();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "theirs", ""));
    guest.wait_until_up();
    let suspended = guest.domain.suspend_only(&Limits::none()).unwrap();
    let failed = guest
        .domain
        .save_file(file.path(), Saving::new())
        .unwrap_err();
    assert!(matches!(failed.source, Source::Untouched), "{failed}");
    assert_eq!(failed.error.kind(), ErrorKind::Invalid, "{failed}");
    assert_eq!(
        guest.state(),
        Some(DomainState::Shutdown(ShutdownReason::SUSPEND))
    );
    suspended.resume().unwrap();
    guest.still_lives_and_dies();
}

#[test]
fn what_is_not_a_saved_domain_is_not_restored() {
    let ctx = context();
    let file = SaveFile::new();
    fs::write(file.path(), vec![0; 4096]).unwrap();
    let saved = File::open(file.path()).unwrap();
    let error = ctx.restore(&saved, &Limits::none()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:#}");
}

/// The callback panics at the beginning, or when nearly everything is restored.
///
/// Nobody has a handle to the domain, so it must not be left behind.
#[test]
fn a_panic_of_whoever_hears_of_progress_leaves_nothing_of_what_is_restored() {
    let ctx = context();
    let watcher = watcher();
    let file = SaveFile::new();
    // Progress is reported every 4 MiB.
    let config = tiny_config(Kind::Pv, "panic-restored", "").memory_mib(24);
    let guest = Guest::start(&ctx, &watcher, &config);
    guest.wait_until_up();
    let suspended = guest.domain.save_file(file.path(), Saving::new()).unwrap();
    suspended.destroy().wait().unwrap();
    guest.events_until(DomainEvent::Death);
    let restored = |report: &mut dyn FnMut()| {
        let saved = File::open(file.path()).unwrap();
        let header = SavedHeader::read(&saved, &Limits::none()).unwrap();
        let restore = || {
            let none = Limits::none();
            ctx.domain_create_restore(&header.config, &saved, &none, |_| report())
        };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(restore))
    };
    let uuid = guest.id().uuid;
    for at in [1, 5] {
        let mut reported = 0;
        let panic = restored(&mut || {
            reported += 1;
            assert!(reported < at, "no good news");
        });
        let panic = panic.unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"no good news"));
        wait_for("what was restored to go", || {
            let all = ctx.list_domains().unwrap();
            !all.iter().any(|domain| domain.uuid == uuid)
        });
    }
}

/// The stream ends in the middle. Nothing may be left of the half-built domain.
#[test]
fn a_truncated_file_leaves_no_domain() {
    let ctx = context();
    let watcher = watcher();
    let file = SaveFile::new();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "truncated", ""));
    guest.wait_until_up();
    let suspended = guest.domain.save_file(file.path(), Saving::new()).unwrap();
    suspended.destroy().wait().unwrap();
    let saved = File::options().write(true).open(file.path()).unwrap();
    saved.set_len(saved.metadata().unwrap().len() / 2).unwrap();
    let saved = File::open(file.path()).unwrap();
    ctx.restore(&saved, &Limits::none()).unwrap_err();
    let uuid = guest.id().uuid;
    wait_for("the half-made domain to go", || {
        let all = ctx.list_domains().unwrap();
        !all.iter().any(|domain| domain.uuid == uuid)
    });
}

/// The stream stalls. The restore waits until it is given up.
#[test]
fn a_restore_that_is_given_up_leaves_no_domain() {
    let ctx = context();
    let watcher = watcher();
    let file = SaveFile::new();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "no-more", ""));
    guest.wait_until_up();
    let suspended = guest.domain.save_file(file.path(), Saving::new()).unwrap();
    suspended.destroy().wait().unwrap();
    let saved = fs::read(file.path()).unwrap();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let mut writer = File::from(writer);
    let half = saved.len() / 2;
    let sending = std::thread::spawn(move || {
        use std::io::Write;
        let _ = writer.write_all(&saved[..half]);
        writer
    });
    let limits = Limits::none().deadline(Duration::from_secs(10));
    let error = ctx.restore(reader.as_fd(), &limits).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:#}");
    drop(reader);
    drop(sending.join());
    let uuid = guest.id().uuid;
    wait_for("the half-made domain to go", || {
        let all = ctx.list_domains().unwrap();
        !all.iter().any(|domain| domain.uuid == uuid)
    });
}

#[test]
fn xl_restores_what_we_save_and_we_what_it_saves() {
    if !outsider_is_there() {
        return;
    }
    let ctx = context();
    let watcher = watcher();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(unique("saved"));
    let file = path.to_str().unwrap();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "xl", "lab.tick=1"));
    guest.wait_until_up();
    wait_for("the guest to count", || guest.uptimes().len() > 1);

    let suspended = guest.domain.save_file(&path, Saving::new()).unwrap();
    suspended.destroy().wait().unwrap();
    xl(&["restore", "-e", file]);
    let theirs = ctx.name_to_domid(&guest.name).unwrap();
    let theirs = Guest::of(ctx.domain_by_domid(theirs).unwrap(), &watcher);
    let before = theirs.uptimes().len();
    wait_for("the guest to go on counting", || {
        theirs.uptimes().len() > before
    });

    xl(&["save", &theirs.name, file]);
    theirs.events_until(DomainEvent::Death);
    let ours = ctx
        .restore(File::open(&path).unwrap(), &Limits::none())
        .unwrap();
    let ours = Guest::of(ours, &watcher);
    ours.domain.unpause().wait().unwrap();
    let before = ours.uptimes().len();
    wait_for("the guest to go on counting", || {
        ours.uptimes().len() > before
    });
    assert!(ours.uptimes().is_sorted(), "{:?}", ours.uptimes());
    ours.still_lives_and_dies();
}

#[test]
fn userdata_is_kept_beside_the_domain() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "userdata", ""));
    let key = "live-test";
    assert_eq!(guest.domain.userdata_retrieve(key).unwrap(), None);
    for data in [&b"first\0bytes\xff"[..], b"second"] {
        guest.domain.userdata_store(key, data).unwrap();
        assert_eq!(
            guest.domain.userdata_retrieve(key).unwrap().as_deref(),
            Some(data)
        );
    }
    guest.domain.userdata_unlink(key).unwrap();
    assert_eq!(guest.domain.userdata_retrieve(key).unwrap(), None);
    guest.destroy();
    let error = guest.domain.userdata_store(key, b"late").unwrap_err();
    assert!(error.is_domain_gone(), "{error:#}");
}
