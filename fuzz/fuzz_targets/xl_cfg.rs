//! An xl.cfg with any content is refused with a reason, or means a configuration that libxl may see.
#![no_main]

use libfuzzer_sys::fuzz_target;
use libxl::{
    DomainConfig,
    xlcfg::{Host, XlConf, XlConfig},
};

fuzz_target!(|text: &str| {
    let Ok(file) = XlConfig::parse(text, "fuzz.cfg") else { return };
    for key in file.keys() {
        let _ = (file.string(key), file.number(key), file.flag(key), file.list(key));
        assert!(file.place(key).is_some(), "{key} is in the file");
    }
    let Ok(meaning) = file.domain_config(&Host::new(4), &XlConf::default()) else { return };
    let text = serde_json::to_string(&meaning.config).expect("plain data");
    let again: DomainConfig = serde_json::from_str(&text).expect("our own output");
    assert_eq!(again, meaning.config);
    let _ = meaning.config.validate();
});
