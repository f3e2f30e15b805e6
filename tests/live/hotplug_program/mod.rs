//! The program that takes the place of Xen's hotplug scripts: it does what they do, and can be stopped anywhere.

mod disks;
mod interfaces;

use std::{
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use libxl::xenstore::Xenstore;

use crate::support::{hotplug_programs, unique};

/// Xen's own.
const SCRIPTS: &str = "/etc/xen/scripts";

/// Runs a script, or the program in its place.
fn run(dir: &Path, script: &str, words: &[&str], variables: &[(&str, String)]) -> Output {
    command(dir, script, words, variables).output().unwrap()
}

fn command(dir: &Path, script: &str, words: &[&str], variables: &[(&str, String)]) -> Command {
    let mut command = Command::new(dir.join(script));
    command
        .args(words)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .env("script", dir.join(script))
        .stdin(Stdio::null());
    command
}

/// A directory of backends that no kernel looks at.
struct Backends {
    root: String,
    store: Xenstore,
}

impl Backends {
    fn new() -> Self {
        Self {
            root: format!("/test/{}", unique("hotplug")),
            store: Xenstore::open().unwrap(),
        }
    }

    fn of(&self, kind: &str, domain: u32) -> Backend<'_> {
        Backend {
            all: self,
            kind: kind.to_owned(),
            path: format!("{}/{kind}/{domain}/0", self.root),
        }
    }
}

impl Drop for Backends {
    fn drop(&mut self) {
        let _ = Command::new("xenstore-rm").arg(&self.root).status();
    }
}

/// A backend, as libxl describes it.
struct Backend<'a> {
    all: &'a Backends,
    kind: String,
    path: String,
}

impl Backend<'_> {
    fn set(&self, name: &str, value: &str) -> &Self {
        let path = format!("{}/{name}", self.path);
        self.all.store.write(&path, value).unwrap();
        self
    }

    fn get(&self, name: &str) -> Option<String> {
        let path = format!("{}/{name}", self.path);
        self.all.store.read(&path).unwrap()
    }

    /// Describes a disk of domain `id`.
    fn disk(&self, id: u32, params: &Path, mode: &str) {
        self.set("params", params.to_str().unwrap())
            .set("mode", mode)
            .set("type", "phy")
            .set("state", "2")
            .set("frontend-id", &id.to_string());
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("XENBUS_TYPE", self.kind.clone()),
            ("XENBUS_PATH", self.path.clone()),
            ("XENBUS_BASE_PATH", self.all.root.clone()),
        ]
    }

    /// Returns what the script said about the device.
    fn result(&self) -> (Option<String>, Option<String>) {
        (self.get("hotplug-status"), self.get("hotplug-error"))
    }
}

/// Number of moments at which the program is killed.
const MOMENTS: u32 = 40;

/// Runs the program, kills it at a moment, and goes on with `after`. The moments are spread over the time that it takes undisturbed.
fn killed(
    script: &str,
    words: &[&str],
    variables: &[(&str, String)],
    mut before: impl FnMut(),
    mut after: impl FnMut(),
) {
    let mut whole = Duration::MAX;
    for _ in 0..3 {
        before();
        let begin = Instant::now();
        assert!(
            run(hotplug_programs(), script, words, variables)
                .status
                .success()
        );
        // The first run takes longer, and so does one beside something else.
        whole = whole.min(begin.elapsed());
        after();
    }
    let mut cut = 0;
    for moment in 0..MOMENTS {
        before();
        let mut command = command(hotplug_programs(), script, words, variables);
        let begin = Instant::now();
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(whole * moment / MOMENTS);
        let _ = child.kill();
        if child.wait().unwrap().success() {
            whole = whole.min(begin.elapsed());
        } else {
            cut += 1;
        }
        after();
    }
    println!("{script}: killed in {cut} of {MOMENTS} runs of {whole:?}");
    assert!(cut > MOMENTS / 4, "{cut}");
}
