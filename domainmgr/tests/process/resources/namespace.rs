//! A mount namespace for one test, which needs file systems that are small or cannot be written to.

use std::env;
use std::path::Path;
use std::process::Command;

const INSIDE: &str = "DOMAINMGR_TEST_NAMESPACE";

/// Runs the test of this name once more, in a process with mounts of its own. Returns true in that process.
#[track_caller]
pub fn is_inside(name: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let done = command
        .args(["--mount", "--propagation", "private", "--"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        done.status.success() && said.contains("1 passed"),
        "{name}: {} (without root it takes user namespaces: kernel.unprivileged_userns_clone): {said}",
        done.status
    );
    println!("{said}");
    false
}

/// Runs `mount` with these words, in front of the place.
#[track_caller]
pub fn mount(words: &[&str], place: &Path) {
    let done = Command::new("mount").args(words).arg(place).status();
    assert!(done.unwrap().success(), "{words:?} {}", place.display());
}
