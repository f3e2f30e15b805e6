//! Any JSON is read or refused, and a configuration that was read can be printed and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use libxl::DomainConfig;

fuzz_target!(|text: &str| {
    let Ok(config) = serde_json::from_str::<DomainConfig>(text) else { return };
    let Ok(again) = serde_json::to_string(&config) else { return };
    let read = serde_json::from_str::<DomainConfig>(&again).expect("our own output");
    assert_eq!(read, config);
    let _ = config.validate();
});
