//! A DomainConfig file with any content is refused with a reason, or becomes something to build.
#![no_main]

use domainmgr::{eve, render};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let Ok(config) = eve::parse::<eve::DomainConfig>(text) else { return };
    let key = config.uuid_and_version.uuid.parse().unwrap_or_default();
    let Ok(spec) = eve::spec(key, &config) else { return };
    // What is accepted is accepted by libxl's own rules as well.
    render::domain_config(&spec).validate().expect("a configuration that libxl may see");
});
