//! Every DomainConfig that `check` accepts is built as asked; every other one is refused with the name of a field.
//! `PROPTEST_CASES` sets the number of DomainConfigs to try.

use std::sync::atomic::{AtomicU32, Ordering};

use domainmgr::frontends::eve::{self, DomainConfig};
use domainmgr::spec::feasibility;
use domainmgr::spec::render;
use domainmgr::spec::{Mode, Spec};
use domainmgr::toolstack::sim::model::Model;
use libxl::config::lost_fields;
use libxl::xlcfg::{Host, XlConf, XlConfig};
use proptest::prelude::*;
use serde_json::Value;

const KEY: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

static ACCEPTED: AtomicU32 = AtomicU32::new(0);
static REFUSED: AtomicU32 = AtomicU32::new(0);

/// Checks that the spec has what the DomainConfig asks for.
fn is_as_asked(config: &DomainConfig, spec: &Spec) {
    assert_eq!(
        spec.name,
        format!("{}.{}", config.display_name, config.app_num)
    );
    assert_eq!(spec.memory_mib, config.memory.0.div_ceil(1024));
    assert_eq!(spec.vcpus, config.vcpus.max(1));
    assert_eq!(spec.kernel.as_deref().unwrap_or_default(), config.kernel);
    if spec.mode != Mode::Pv {
        assert_eq!(spec.cmdline(), config.extra_args);
    }
    assert_eq!(spec.vnc.is_some(), config.enable_vnc);
    let display = spec.vnc.as_ref().and_then(|vnc| vnc.display);
    assert!(!config.enable_vnc || display.unwrap_or(0) == config.vnc_display);
    for (disk, asked) in spec.disks.iter().zip(&config.disk_config_list) {
        if disk.image.is_none() {
            assert_eq!(disk.path, asked.file_location);
        }
        assert!(!asked.read_only || disk.read_only);
    }
    for (nic, asked) in spec.nics.iter().zip(&config.vif_list) {
        assert_eq!(nic.vif.clone().unwrap_or_default(), asked.vif);
        assert_eq!(nic.bridge.clone().unwrap_or_default(), asked.bridge);
        assert!(!asked.mac.contains(':') || nic.address() == asked.mac.to_lowercase());
        assert_eq!(nic.mtu.unwrap_or(0), asked.mtu);
    }
}

/// Returns whether the host accepts the spec. If not, checks that Xen would have refused the domain, too.
fn fits_host(spec: &Spec) -> bool {
    let mut xen = Model::new(1 << 40);
    let fits = feasibility::check(spec, &xen.facts_for(spec)).is_ok();
    fits || {
        xen.begin_create(spec).unwrap_err();
        false
    }
}

/// Checks that libxl accepts the spec, and that the text for people is equivalent.
fn is_built(spec: &Spec) {
    let mut ready = spec.clone();
    for disk in ready.disks.iter_mut().filter(|d| d.path.is_empty()) {
        disk.path = format!("/ready/{}", disk.vdev);
    }
    let ours = render::domain_config(&ready);
    ours.validate().unwrap();
    Model::new(1 << 40).begin_create(&ready).unwrap();
    let text = render::xl_cfg(&ready);
    let file = XlConfig::parse(&text, "x.cfg").unwrap_or_else(|e| panic!("{e}\n{text}"));
    let read = file
        .domain_config(&Host::new(4096), &XlConf::default())
        .unwrap_or_else(|e| panic!("{e}\n{text}"));
    let [ours, theirs] = [&ours, &read.config].map(|c| serde_json::to_value(c).unwrap());
    for (sent, found) in [(&ours, &theirs), (&theirs, &ours)] {
        let lost = lost_fields(sent, found);
        assert!(lost.is_empty(), "{lost:?}\n{text}\n{sent}\n{found}");
    }
}

fn tried(config: &Value) {
    let text = config.to_string();
    let found = match eve::understand(KEY.parse().unwrap(), text.as_bytes()) {
        Ok(found) => found,
        Err(e) => {
            assert!(!e.field.is_empty() && !e.reason.is_empty(), "{e}");
            REFUSED.fetch_add(1, Ordering::Relaxed);
            return;
        }
    };
    match found.spec {
        Err(e) => {
            let top = e.field.split(['[', '.']).next().unwrap();
            assert!(
                top.starts_with(|c: char| c.is_ascii_alphabetic()) && !e.reason.is_empty(),
                "{e}"
            );
            REFUSED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(spec) => {
            is_as_asked(&found.config, &spec);
            let count = if fits_host(&spec) {
                is_built(&spec);
                &ACCEPTED
            } else {
                &REFUSED
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn what_is_accepted_is_built_as_asked() {
    let default = ProptestConfig::default();
    let cases = default.cases.max(20_000);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..default
    });
    let result = runner.run(&crate::common::generate::config(KEY), |config| {
        tried(&config);
        Ok(())
    });
    let (accepted, refused) = (
        ACCEPTED.load(Ordering::Relaxed),
        REFUSED.load(Ordering::Relaxed),
    );
    println!("{accepted} accepted, {refused} refused");
    result.unwrap();
    // The test means something only if enough DomainConfigs are accepted, and enough are refused.
    assert!(accepted > cases / 10 && refused > cases / 10);
}
