//! The strings that describe devices in a file of xl, with any content: alone, and in a file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use libxl::xlcfg::{self, Host, XlConf, XlConfig};

fuzz_target!(|text: &str| {
    let _ = xlcfg::parse_disk(text);
    let _ = xlcfg::parse_rdm(text);
    let _ = xlcfg::parse_vif_rate(text);
    let _ = xlcfg::parse_pci(text);
    let _ = xlcfg::parse_pci_bdf(text);
    if text.contains(['"', '\\', '\n', '\0']) {
        return; // It would end the string.
    }
    for key in ["disk", "vif", "pci", "usbdev", "usbctrl", "vtpm", "p9", "vfb", "channel", "vsnd", "vdispl"] {
        let file = format!("name=\"a\"\ntype=\"pvh\"\nkernel=\"/k\"\n{key}=[\"{text}\"]\n");
        let Ok(file) = XlConfig::parse(&file, "fuzz.cfg") else { continue };
        if let Ok(meaning) = file.domain_config(&Host::new(4), &XlConf::default()) {
            let _ = meaning.config.validate();
        }
    }
});
