//! `vif-bridge` and `vif-route`.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Backend, Backends, SCRIPTS, killed, run};
use crate::support::hotplug_programs;

/// Network interfaces of this host are made and taken away here, one test at a time.
fn network() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An interface of dom0 that leads nowhere.
struct Link(String);

impl Link {
    fn new(name: &str) -> Self {
        ip(&["tuntap", "add", "dev", name, "mode", "tap"]);
        Self(name.to_owned())
    }

    /// Returns what the kernel says of it, but its number.
    fn state(&self, name: &str) -> String {
        let text =
            ip(&["-o", "addr", "show", "dev", name]) + &ip(&["-o", "link", "show", "dev", name]);
        let words = text.split_whitespace().filter(|word| {
            // The number, and whether there is a carrier yet.
            !word.ends_with(':')
                && !word.contains("CARRIER")
                && !matches!(*word, "UP" | "DOWN" | "UNKNOWN")
        });
        let flags = if text.contains(",UP") { "up " } else { "down " };
        flags.to_owned() + &words.collect::<Vec<_>>().join(" ")
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "del", &self.0]).output();
    }
}

fn ip(words: &[&str]) -> String {
    let done = Command::new("ip").args(words).output().unwrap();
    assert!(done.status.success(), "ip {words:?}: {done:?}");
    String::from_utf8(done.stdout).unwrap()
}

const VIF: &str = "vif4001.0";

fn vif_variables(backend: &Backend<'_>) -> Vec<(&'static str, String)> {
    let mut variables = backend.variables();
    variables.push(("vif", VIF.to_owned()));
    variables.push(("netdev", "xenbr0".to_owned()));
    variables
}

/// The interface after it was connected by `script`, and after it was taken away.
fn connected(dir: &Path, script: &str, wishes: &[(&str, &str)]) -> [String; 2] {
    let (link, backends) = (Link::new(VIF), Backends::new());
    ip(&["addr", "add", "192.168.201.9/24", "dev", VIF]);
    let backend = backends.of("vif", 4001);
    backend.set("frontend-id", "4001");
    for (name, value) in wishes {
        backend.set(name, value);
    }
    let variables = vif_variables(&backend);
    ["online", "offline"].map(|word| {
        let done = run(dir, script, &[word, "type_if=vif"], &variables);
        assert!(done.status.success(), "{done:?}");
        let (status, error) = backend.result();
        assert_eq!((status.as_deref(), error), (Some("connected"), None));
        let mtu = backends.store.read("/local/domain/4001/device/vif/0/mtu");
        format!("{} {:?}", link.state(VIF), mtu.unwrap())
    })
}

#[test]
fn an_interface_becomes_a_port_as_by_the_script() {
    let _one = network();
    for wishes in [
        &[("bridge", "xenbr0")][..],
        &[("bridge", "xenbr0"), ("mtu", "1400")],
        &[("bridge", "xenbr0"), ("ip", "192.168.99.7")],
    ] {
        let by_script = connected(Path::new(SCRIPTS), "vif-bridge", wishes);
        assert!(by_script[0].contains("master xenbr0"), "{by_script:?}");
        assert!(by_script[0].starts_with("up "), "{by_script:?}");
        assert!(by_script[1].starts_with("down "), "{by_script:?}");
        assert_eq!(
            connected(hotplug_programs(), "vif-bridge", wishes),
            by_script
        );
    }
}

#[test]
fn an_interface_that_cannot_be_a_port_is_refused_as_by_the_script() {
    let _one = network();
    let said = [Path::new(SCRIPTS), hotplug_programs()].map(|dir| {
        [
            &[("bridge", "nowhere")][..],
            &[("bridge", "xenbr977")],
            &[("bridge", "xenbr0"), ("vifname", "xenbr0")],
        ]
        .map(|wishes| {
            let (_link, backends) = (Link::new(VIF), Backends::new());
            let backend = backends.of("vif", 4001);
            for (name, value) in wishes {
                backend.set(name, value);
            }
            let words = ["online", "type_if=vif"];
            let done = run(dir, "vif-bridge", &words, &vif_variables(&backend));
            assert!(!done.status.success(), "{done:?}");
            backend.result()
        })
    });
    assert_eq!(said[0], said[1]);
    let text = said[0][0].1.clone().unwrap();
    assert_eq!(text, "Could not find bridge device nowhere");
}

#[test]
fn an_interface_gets_its_name_and_so_does_its_tap() {
    let _one = network();
    let (_link, backends) = (Link::new(VIF), Backends::new());
    let backend = backends.of("vif", 4001);
    backend.set("bridge", "xenbr0").set("vifname", "lab-own");
    let variables = vif_variables(&backend);
    let done = run(hotplug_programs(), "vif-bridge", &["online"], &variables);
    assert!(done.status.success(), "{done:?}");
    let renamed = Link("lab-own".to_owned());
    assert!(renamed.state("lab-own").contains("master xenbr0"));
    // The tap's backend is found by its name, below dom0's own.
    let tap = Link::new("vif4001.0-emu");
    let real = "/local/domain/0/backend/vif/4001";
    for (name, value) in [("bridge", "xenbr0"), ("vifname", "lab-own")] {
        let path = format!("{real}/0/{name}");
        backends.store.write(&path, value).unwrap();
    }
    let variables = [("INTERFACE", tap.0.clone())];
    let done = run(
        hotplug_programs(),
        "vif-bridge",
        &["add", "type_if=tap"],
        &variables,
    );
    let _ = Command::new("xenstore-rm").arg(real).status();
    assert!(done.status.success(), "{done:?}");
    let tap = Link("lab-own-emu".to_owned());
    assert!(tap.state("lab-own-emu").contains("master xenbr0"));
}

#[test]
fn a_route_leads_to_the_guest() {
    let _one = network();
    let (_link, backends) = (Link::new(VIF), Backends::new());
    let backend = backends.of("vif", 4001);
    backend.set("ip", "192.168.201.5 192.168.202.0/24");
    let variables = vif_variables(&backend);
    let of = |word: &str| {
        let done = run(
            hotplug_programs(),
            "vif-route",
            &[word, "type_if=vif"],
            &variables,
        );
        assert!(done.status.success(), "{done:?}");
        ip(&["-4", "route", "show", "dev", VIF])
    };
    let routes = of("online");
    let source = ip(&["-4", "-o", "addr", "show", "dev", "xenbr0"]);
    let source = source
        .split_whitespace()
        .nth(3)
        .unwrap()
        .split('/')
        .next()
        .unwrap();
    for to in ["192.168.201.5", "192.168.202.0/24"] {
        let line = routes.lines().find(|line| line.starts_with(to));
        let line = line.unwrap_or_else(|| panic!("{to}: {routes}"));
        assert!(line.contains(&format!("src {source}")), "{line}");
        assert!(line.contains("metric 2"), "{line}");
    }
    let own = ip(&["-4", "-o", "addr", "show", "dev", VIF]);
    assert!(own.contains(&format!("{source}/32")), "{own}");
    let proxy = format!("/proc/sys/net/ipv4/conf/{VIF}/proxy_arp");
    assert_eq!(fs::read_to_string(proxy).unwrap(), "1\n");
    assert_eq!(of("offline"), "");
}

#[test]
fn a_program_that_is_killed_leaves_no_half_port() {
    let _one = network();
    let backends = Backends::new();
    let backend = backends.of("vif", 4001);
    backend.set("bridge", "xenbr0");
    let link = Link::new(VIF);
    let variables = vif_variables(&backend);
    killed(
        "vif-bridge",
        &["online"],
        &variables,
        || {},
        || {
            let done = run(hotplug_programs(), "vif-bridge", &["offline"], &variables);
            assert!(done.status.success(), "{done:?}");
            let state = link.state(VIF);
            assert!(
                state.starts_with("down ") && !state.contains("master"),
                "{state}"
            );
            // The next one is connected as if nothing had been.
            let done = run(hotplug_programs(), "vif-bridge", &["online"], &variables);
            assert!(done.status.success(), "{done:?}");
            let state = link.state(VIF);
            assert!(
                state.starts_with("up ") && state.contains("master xenbr0"),
                "{state}"
            );
            let done = run(hotplug_programs(), "vif-bridge", &["offline"], &variables);
            assert!(done.status.success(), "{done:?}");
        },
    );
}
