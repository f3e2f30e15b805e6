//! A DomainConfig file with any content is refused with a reason, or becomes something to build.
#![no_main]

use domainmgr::{base::json, frontends::eve, spec::render};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let key = json::parse::<eve::DomainConfig>(text)
        .ok()
        .and_then(|config| config.uuid_and_version.uuid.parse().ok())
        .unwrap_or_default();
    let Ok(found) = eve::understand(key, text) else { return };
    let Ok(mut spec) = found.spec else { return };
    // The path of a copy or of the disk for cloud-init is known on the host.
    for disk in spec.disks.iter_mut().filter(|d| d.path.is_empty()) {
        disk.path = format!("/ready/{}", disk.vdev);
    }
    // An accepted file satisfies libxl's own rules as well.
    render::domain_config(&spec).validate().expect("a configuration that libxl may see");
});
