//! Connects the backends of virtual disks and network interfaces in dom0, as Xen's hotplug scripts do.
//!
//! libxl runs a script for each disk and each network interface, when it comes and when it goes. This program takes the place of
//! four of them; the name that it is called by tells which: `block`, `vif-bridge`, `vif-route` and `vif-openvswitch`. Arguments,
//! environment, keys in xenstore, texts of errors and locks are those of the scripts, so a host can use both.

#![forbid(unsafe_code)]

mod block;
mod call;
mod failure;
mod link;
mod lock;
mod log;
mod store;
mod vif;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use call::{Call, Script};
use failure::Failure;
use store::Store;

/// Xen's own scripts, and the hooks of the host's owner.
const SCRIPTS: &str = "/etc/xen/scripts";

const USAGE: &str = "\
xen-hotplug connects the backends of Xen's virtual disks and network interfaces.

libxl runs it in place of a hotplug script. The name that it is called by tells which one:

  block add|remove
  vif-bridge|vif-route|vif-openvswitch online|offline type_if=vif
  vif-bridge|vif-route|vif-openvswitch add|remove type_if=tap

with the environment of the scripts: XENBUS_PATH, XENBUS_BASE_PATH, XENBUS_TYPE, vif, INTERFACE, netdev.
A disk or an interface uses it if it is named in the domain's file:

  disk = ['/srv/web.img,raw,xvda,rw,script=/usr/libexec/xen-hotplug/block']
  vif  = ['bridge=xenbr0,script=/usr/libexec/xen-hotplug/vif-bridge']
";

fn main() -> ExitCode {
    let mut words = std::env::args();
    let name = words.next().unwrap_or_default();
    let words: Vec<String> = words.collect();
    if let [word] = &words[..] {
        match word.as_str() {
            "--help" | "-h" => {
                print!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            "--version" | "-V" => {
                println!("xen-hotplug {}", env!("CARGO_PKG_VERSION"));
                return ExitCode::SUCCESS;
            }
            _ => {}
        }
    }
    let call = match Call::new(&name, &words, std::env::vars()) {
        Ok(call) => call,
        Err(text) => {
            log::error(&name, &text);
            eprintln!("{name}: {text}");
            return ExitCode::FAILURE;
        }
    };
    // Hooks are pieces of shell, which use the variables of the script that they are part of.
    if call.script != Script::Block && vif::has_hooks(SCRIPTS) {
        let error = Command::new(format!("{SCRIPTS}/{}", call.script.name()))
            .args(&words)
            .exec();
        log::error(&name, &format!("{SCRIPTS}: {error}"));
        return ExitCode::FAILURE;
    }
    match run(&call) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            log::error(&name, &failure.text);
            eprintln!("{name}: {}", failure.text);
            ExitCode::FAILURE
        }
    }
}

/// Does what the call asks for. A failure is in xenstore, too, where libxl reads it.
fn run(call: &Call) -> Result<(), Failure> {
    let store = store::Xen::open()?;
    let done = match call.script {
        Script::Block => block::run(call, &store),
        _ => vif::run(call, &store),
    };
    if let Err(failure) = &done {
        // The first failure is the one to tell.
        let _ = store.write(&call.key("hotplug-error"), &failure.text);
        let _ = store.write(&call.key("hotplug-status"), failure.status.word());
    }
    done
}
