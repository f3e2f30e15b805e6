//! The programs in `examples/`, run as a reader would run them.

use std::{
    env,
    io::Write,
    process::{Child, Command, Output, Stdio},
};

use libxl::{
    DomainEvent, ShutdownReason,
    config::{ActionOnShutdown, DiskFormat},
};

use crate::support::{Guest, Kind, config, context, tiny_config, unique, wait_for, watcher};

/// Runs an example, which xtask puts beside this test.
fn example(name: &str, args: &[&str]) -> Output {
    let program = env::current_exe().unwrap().with_file_name(name);
    let output = Command::new(program).args(args).output().unwrap();
    println!(
        "$ {name} {}\n{}{}",
        args.join(" "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Runs an example, which must succeed, and returns its output.
#[track_caller]
pub(crate) fn succeeds(name: &str, args: &[&str]) -> String {
    let output = example(name, args);
    assert!(output.status.success(), "{name}: {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn create_and_wait() {
    let name = unique("example");
    let said = succeeds(
        "create_and_wait",
        &[
            "pv",
            &name,
            "/lab/guest/vmlinux",
            "/lab/guest/initrd",
            "console=hvc0",
            "quiet",
            "lab.action=poweroff",
        ],
    );
    assert!(said.contains("shut down (poweroff)"), "{said}");
    assert!(said.trim_end().ends_with("died"), "{said}");
}

#[test]
fn watch_domains() {
    let program = env::current_exe().unwrap().with_file_name("watch_domains");
    let log = tempfile::NamedTempFile::new().unwrap();
    let _watching = Endless(
        Command::new(program)
            .stdout(log.reopen().unwrap())
            .spawn()
            .unwrap(),
    );
    let ctx = context();
    let watcher = watcher();
    let config = tiny_config(Kind::Pv, "watched", "");
    let guest = Guest::start(&ctx, &watcher, &config);
    guest.wait_until_up();
    let says = |text: &str| {
        let line = format!("{}: {text}", guest.name);
        wait_for(&line, || {
            std::fs::read_to_string(log.path()).unwrap().contains(&line)
        });
    };
    // The domain was announced as running, or as still paused.
    says("");
    let renamed = unique("renamed");
    guest.domain.rename(&renamed).unwrap();
    wait_for("its new name", || {
        let log = std::fs::read_to_string(log.path()).unwrap();
        log.contains(&format!("{renamed}: its name from now on"))
    });
    guest.domain.rename(&guest.name).unwrap();
    says("its name from now on");
    guest.domain.shutdown().wait().unwrap();
    says("shut down (poweroff)");
    guest.domain.destroy().wait().unwrap();
    says("died");
}

/// A program that must be killed.
struct Endless(Child);

impl Drop for Endless {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn checkpoint() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "example", ""));
    guest.wait_until_up();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("saved");
    let said = succeeds("checkpoint", &[&guest.name, file.to_str().unwrap()]);
    assert!(said.contains("Frames"), "{said}");
    assert!(file.metadata().unwrap().len() > 1 << 20);
    guest.still_lives_and_dies();
}

#[test]
fn migrate_localhost() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "example", ""));
    guest.wait_until_up();
    succeeds("migrate_localhost", &[&guest.name]);
    guest.events_until(DomainEvent::Death);
    let moved = ctx.name_to_domid(&guest.name).unwrap();
    let moved = Guest::of(ctx.domain_by_domid(moved).unwrap(), &watcher);
    moved.still_lives_and_dies();
}

#[test]
fn migration_resume() {
    let ctx = context();
    let watcher = watcher();
    for phase in [
        "no-receiver",
        "refused",
        "mid-stream",
        "before-go",
        "called-off",
        "after-go",
    ] {
        let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "example", ""));
        guest.wait_until_up();
        let said = succeeds("migration_resume", &[&guest.name, phase]);
        assert!(
            said.contains(&format!("{} is running", guest.name)),
            "{said}"
        );
        assert!(said.contains("shut down (poweroff)"), "{said}");
        assert!(said.trim_end().ends_with("died"), "{said}");
        guest.events_until(DomainEvent::Death);
    }
}

#[test]
fn shutdown_with_deadline() {
    let ctx = context();
    let watcher = watcher();
    for (params, says) in [
        ("", "shut down: poweroff"),
        ("lab.requests=acknowledge", "did not shut down within 3s"),
        ("lab.requests=ignore", "did not shut down within 3s"),
    ] {
        let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "example", params));
        guest.wait_until_up();
        let said = succeeds("shutdown_with_deadline", &[&guest.name, "3"]);
        assert!(said.contains(says), "{said}");
        guest.events_until(DomainEvent::Death);
    }
}

/// A paused guest acknowledges nothing. A line on standard input ends the wait.
#[test]
fn loop_poll() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "example", ""));
    guest.wait_until_up();
    let said = succeeds("loop_poll", &[&guest.name, "60"]);
    assert!(said.contains("has acknowledged"), "{said}");
    guest.expect_shutdown(ShutdownReason::POWEROFF);

    let paused = Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "example", ""));
    let program = env::current_exe().unwrap().with_file_name("loop_poll");
    let mut child = Command::new(program)
        .args([&paused.name, "600"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"stop\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("calling it off"), "{said}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("was aborted"), "{said}");
}

#[test]
fn loop_mio() {
    let ctx = context();
    let watcher = watcher();
    let guests: Vec<Guest> = (0..3)
        .map(|_| Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "example", "")))
        .collect();
    // This guest runs nothing that could acknowledge.
    let paused = Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "example", ""));
    let mut args = vec!["20"];
    for guest in &guests {
        guest.wait_until_up();
        args.push(&guest.name);
    }
    args.push(&paused.name);
    let said = succeeds("loop_mio", &args);
    for guest in &guests {
        let line = format!("{} has acknowledged", guest.name);
        assert!(said.contains(&line), "{line}: {said}");
        guest.expect_shutdown(ShutdownReason::POWEROFF);
    }
    let line = format!("{}: libxl_domain_shutdown", paused.name);
    assert!(said.contains(&line), "{line}: {said}");
    assert!(said.contains("took longer than 20s"), "{said}");
}

/// One domain is migrated. The migration of the other is aborted, and it then obeys a shutdown.
#[test]
fn loop_tokio() {
    let ctx = context();
    let watcher = watcher();
    let moves = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "example", ""));
    let stays = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "example", ""));
    moves.wait_until_up();
    stays.wait_until_up();
    let said = succeeds("loop_tokio", &[&moves.name, &stays.name, "600"]);
    for line in [
        format!("{} {} is there: ", moves.id(), moves.name),
        format!("{} died", moves.id()),
        format!("domain {} stays: ", stays.id()),
        format!("{} shut down (poweroff)", stays.id()),
        format!("{} died", stays.id()),
        format!(", formerly {}", moves.id().domid),
    ] {
        assert!(said.contains(&line), "{line:?}: {said}");
    }
    moves.events_until(DomainEvent::Death);
    let moved = ctx.name_to_domid(&moves.name).unwrap();
    let moved = Guest::of(ctx.domain_by_domid(moved).unwrap(), &watcher);
    moved.still_lives_and_dies();
}

#[test]
fn loop_many() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "example", ""));
    guest.wait_until_up();
    let said = succeeds("loop_many", &[&guest.name]);
    assert!(said.starts_with("200 operations in "), "{said}");
    guest.still_lives_and_dies();
}

/// Creates a disk image of 1 MiB.
fn image() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 20).unwrap();
    file
}

#[test]
fn tour() {
    let name = unique("tour");
    let image = image();
    let path = image.path().to_str().unwrap();
    // The small guest has no drivers for these devices and needs no ramdisk. The test is about the program.
    let (kernel, ramdisk) = ("/share/guest/tiny", "/lab/guest/initrd");
    let args = [&name, kernel, ramdisk, path, "xenbr0"];
    // Under emulation a PVH guest sometimes resets in its very first instructions.
    let first = example("tour", &args);
    let said = String::from_utf8(first.stdout).unwrap();
    let reset = said.contains("shut down (reboot)");
    let said = match first.status.success() {
        true => said,
        false if reset => succeeds("tour", &args),
        false => panic!("{said}{}", String::from_utf8_lossy(&first.stderr)),
    };
    for line in [
        "1 disk",
        "disk Some(\"xvda\")",
        "00:16:3e:",
        "vCPU 0 on 0",
        "memory target 114688 KiB",
        "asked to shut down: Paravirt",
        "shut down (poweroff)",
    ] {
        assert!(said.contains(line), "{line:?}: {said}");
    }
    assert!(said.trim_end().ends_with("died"), "{said}");
    let error = context().name_to_domid(&name).unwrap_err();
    assert!(error.is_domain_gone(), "{error:#}");
}

#[test]
fn hotplug() {
    let ctx = context();
    let watcher = watcher();
    let image = image();
    let guest = Guest::start(&ctx, &watcher, &config(Kind::Pv, "example", ""));
    guest.wait_until_up();
    let path = image.path().to_str().unwrap();
    let said = succeeds("hotplug", &[&guest.name, "xenbr0", path]);
    assert!(said.contains("00:16:3e:"), "{said}");
    assert!(said.contains("disk Some(\"xvdz\"):"), "{said}");
    assert!(said.trim_end().ends_with("both are gone"), "{said}");
}

#[test]
fn vcpus_and_memory() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &config(Kind::Pv, "example", ""));
    guest.wait_until_up();
    let said = succeeds("vcpus_and_memory", &[&guest.name, "0", "112"]);
    assert!(said.contains("vCPU 0 may run on 0"), "{said}");
    assert_eq!(guest.domain.memory_target().unwrap(), 112 << 10);
}

#[test]
fn console_and_log() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "example", ""));
    guest.wait_until_up();
    let said = succeeds("console_and_log", &[&guest.name]);
    assert!(said.contains("console: /dev/pts/"), "{said}");
    assert!(said.contains("  lab guest: up"), "{said}");
    let (_, log) = said.split_once("Xen's log:\n").unwrap();
    assert!(!log.trim().is_empty(), "{said}");
}

#[test]
fn xl_cfg() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("web.cfg");
    let text = "name = 'web'\nmemory = 512\nvcpus = 2\nkernel = '/boot/vmlinuz'\n\
                on_crash = 'preserve'\ndisk = [ '/images/web.qcow2,qcow2,xvda,rw' ]\n\
                vif = [ 'bridge=xenbr0,mac=00:16:3e:00:00:01,rate=10MB/s' ]\n";
    std::fs::write(&file, text).unwrap();
    let said = succeeds("xl_cfg", &[file.to_str().unwrap()]);
    let config: libxl::DomainConfig = serde_json::from_str(&said).unwrap();
    assert_eq!(config.c_info.name, "web");
    assert_eq!(config.b_info.max_memkb, Some(512 << 10));
    assert_eq!(config.b_info.max_vcpus, Some(2));
    assert_eq!(config.on_crash, ActionOnShutdown::Preserve);
    assert_eq!(config.disks[0].format, Some(DiskFormat::Qcow2));
    assert_eq!(config.nics[0].rate_bytes_per_interval, Some(500_000));

    std::fs::write(&file, "name = 'web'\nmemory = = 3\n").unwrap();
    let output = example("xl_cfg", &[file.to_str().unwrap()]);
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("web.cfg:2"), "{said}");
}

#[test]
fn a_wrong_use_is_explained() {
    for name in [
        "checkpoint",
        "console_and_log",
        "cpupool",
        "create_and_wait",
        "hotplug",
        "loop_many",
        "loop_mio",
        "loop_poll",
        "loop_tokio",
        "migrate_localhost",
        "migration_resume",
        "shutdown_with_deadline",
        "tour",
        "vcpus_and_memory",
        "xl_cfg",
    ] {
        let output = example(name, &[]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with(&format!("usage: {name}")), "{said}");
    }
}
