//! The programs under examples/, run as their readers would.

use std::{
    env,
    process::{Child, Command, Output},
};

use libxl::DomainEvent;

use crate::support::{Guest, Kind, context, tiny_config, unique, wait_for, watcher};

/// xtask puts them beside this test.
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

/// What a successful run prints.
#[track_caller]
fn succeeds(name: &str, args: &[&str]) -> String {
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
    // Running, or still paused: it looks once a second.
    says("");
    guest.domain.shutdown().wait().unwrap();
    says("shut down (poweroff)");
    guest.domain.destroy().wait().unwrap();
    says("died");
}

/// A program that has to be ended.
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

#[test]
fn a_wrong_use_is_explained() {
    for name in [
        "checkpoint",
        "create_and_wait",
        "migrate_localhost",
        "migration_resume",
        "shutdown_with_deadline",
    ] {
        let output = example(name, &[]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with(&format!("usage: {name}")), "{said}");
    }
}
