//! The running test program, to be run once more in a process of its own.

use std::{env, process::Command};

/// Returns this test program as a command without arguments.
///
/// If it was started by a dynamic loader of its own, for libraries of another release, so is the
/// second one.
pub(crate) fn this_program() -> Command {
    let running = env::current_exe().unwrap();
    let is_loader = running
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with("ld-linux"));
    let mut command = Command::new(&running);
    if is_loader {
        command
            .arg("--library-path")
            .arg(running.parent().unwrap())
            .arg(env::args_os().next().unwrap());
    }
    command
}
