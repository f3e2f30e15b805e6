//! Running other programs.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// Runs a program with its output in `log`. If it fails, the end of the log is part of the error.
pub(crate) fn logged(command: &mut Command, log: &Path) -> Result<()> {
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("cannot run {name}"))?;
    if !status.success() {
        bail!("{name}: {status}\n{}", tail(log, 30));
    }
    Ok(())
}

/// Runs a program and returns its output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        bail!(
            "{name}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns the last lines of a text file, or nothing if it cannot be read.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Returns a command that dies with this process, however this process ends.
///
/// `setpriv` sets the parent-death signal between fork and exec, which safe Rust cannot do.
pub(crate) fn dies_with_us(signal: &str, program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal, program]);
    command
}

/// Returns a command for a program that makes a file tree and runs many others.
///
/// All of them, with their mounts, go when this process ends, however it ends. Killing the program alone would leave its children. So it
/// is the first process of a PID namespace of its own.
pub(crate) fn builder(program: &str) -> Command {
    let mut command = dies_with_us("KILL", "unshare");
    command.args(["--mount", "--mount-proc", "--pid", "--fork", "--kill-child"]);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if is_plain_chroot(&mounts) {
        // The propagation of a mount can only be changed at the mount point, which is outside the chroot.
        command.args(["--propagation", "unchanged"]);
    }
    command.arg("--").arg(program);
    with_system_path(&mut command);
    command
}

/// Returns whether `mountinfo` of /proc shows that the root directory is no mount point.
///
/// This is the case in a chroot into a directory of a larger file system.
fn is_plain_chroot(mountinfo: &str) -> bool {
    let mut points = mountinfo.lines().filter_map(|l| l.split(' ').nth(4));
    !mountinfo.is_empty() && points.all(|point| point != "/")
}

/// Adds the directories of programs for root to the path. `su` keeps the path of a user, which lacks them.
pub(crate) fn with_system_path(command: &mut Command) -> &mut Command {
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"))
}

/// Returns the line that makes a remote shell run `command`. A single word is a line of shell; several are a program and its arguments.
pub(crate) fn remote_line(command: &[String]) -> String {
    match command {
        [line] => line.clone(),
        words => words
            .iter()
            .map(|word| quote(word))
            .collect::<Vec<_>>()
            .join(" "),
    }
}

/// Quotes `word` for a shell.
pub(crate) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Returns the exit code by which a shell would report `status`.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_is_shell_and_many_are_quoted() {
        assert_eq!(remote_line(&["xl list | wc".into()]), "xl list | wc");
        assert_eq!(
            remote_line(&["echo".into(), "it's".into()]),
            r"'echo' 'it'\''s'"
        );
    }

    #[test]
    fn a_chroot_is_told_from_a_root_of_its_own() {
        let host =
            "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n23 22 0:21 / /proc rw - proc proc rw\n";
        let chroot =
            "90 22 0:21 / /proc rw - proc proc rw\n91 22 0:5 / /dev rw - devtmpfs dev rw\n";
        assert!(!is_plain_chroot(host));
        assert!(is_plain_chroot(chroot));
        assert!(!is_plain_chroot(""), "nobody can tell");
    }
}
