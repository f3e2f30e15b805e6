//! Too few threads.

use std::fs;
use std::process::Command;

use super::scenes::explore;
use crate::common::Host;

/// A user that has no other process. Root may have as many as it likes.
const USER: &str = "54321";

/// Words of a shell that have an agent with at most `amount` threads.
fn limited(host: &Host, amount: u64) -> String {
    if !rustix::process::geteuid().is_root() {
        // Counted for each user namespace.
        return format!("set -- unshare --user --map-root-user prlimit --nproc={amount}: \"$@\"");
    }
    // Nobody else may come to where the program was built.
    let program = host.copy_of_program();
    let owner = format!("{USER}:{USER}");
    let done = Command::new("chown")
        .args(["--recursive", &owner])
        .arg(host.path(""))
        .status();
    assert!(done.unwrap().success());
    format!(
        "shift; set -- setpriv --reuid={USER} --regid={USER} --clear-groups prlimit --nproc={amount}: {} \"$@\"",
        program.display()
    )
}

/// Lets the agent have as many as it may have. Nobody else may say so, not even root, where it lacks a capability.
fn lift(host: &Host) {
    let pid = host.pid();
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
    let line = limits.lines().find_map(|l| l.strip_prefix("Max processes"));
    // One that has ended has none.
    let Some(most) = line.and_then(|l| l.split_whitespace().nth(1)) else {
        return;
    };
    let mut command = Command::new("prlimit");
    if rustix::process::geteuid().is_root() {
        command = Command::new("setpriv");
        let user = [
            format!("--reuid={USER}"),
            format!("--regid={USER}"),
            "--clear-groups".into(),
            "prlimit".into(),
        ];
        command.args(user);
    }
    let done = command
        .args(["--pid", &pid.to_string(), &format!("--nproc={most}:")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    let gone = said.contains("No such process");
    assert!(done.status.success() || gone, "{said}");
}

#[test]
fn too_few_threads() {
    explore("threads", 1, 60, |scene, amount| {
        let mut host = scene.host(|_| {});
        let words = limited(&host, amount);
        host.run_after(&words, &[]);
        let words = ["Resource temporarily unavailable"];
        scene.play(host, amount, &words, |host| lift(host))
    });
}
