use super::{Complaint, Host, Meaning, XlConf};
use crate::{
    config::{BiosType, Bitmap, DomainType, Guest, RdmReservePolicy},
    xlcfg::{Place, XlConfig},
};

/// A file with a name and a kernel, and these lines.
fn read(lines: &str) -> Result<Meaning, Complaint> {
    let text = format!("name = 'a'\nkernel = '/k'\n{lines}\n");
    let file = XlConfig::parse(&text, "a.cfg").unwrap();
    file.domain_config(&Host::new(12), &XlConf::default())
}

#[track_caller]
fn accepts(lines: &str) -> Meaning {
    read(lines).unwrap()
}

#[track_caller]
fn refuses(lines: &str, key: &str) -> Complaint {
    let complaint = read(lines).unwrap_err();
    assert_eq!(complaint.key, key, "{complaint}");
    complaint
}

#[test]
fn a_word_may_be_cut_short() {
    assert_eq!(accepts("type='h'").config.domain_type(), DomainType::Hvm);
    assert_eq!(accepts("type=''").config.domain_type(), DomainType::Hvm);
    assert_eq!(accepts("type='pvh'").config.domain_type(), DomainType::Pvh);
    assert_eq!(accepts("type='p'").config.domain_type(), DomainType::Pv);
    refuses("type='pvhx'", "type");
    refuses("type='pv'\nbuilder='hvm'", "builder");
}

#[test]
fn a_complaint_has_file_line_and_key() {
    let complaint = refuses("\non_crash = 'reboot'", "on_crash");
    assert_eq!(complaint.place, Some(Place::Line(4)));
    let text = complaint.to_string();
    assert!(text.starts_with("a.cfg:4: on_crash: "), "{text}");
    assert!(text.contains("rename-restart"), "{text}");
}

#[test]
fn a_number_that_is_none_is_left_out_with_a_warning() {
    let meaning = accepts("memory = 'much'\nvcpus = [ '2' ]\nmemroy = 3");
    assert_eq!(meaning.config.b_info.target_memkb, None);
    let keys: Vec<&str> = meaning.warnings.iter().map(|w| w.key.as_str()).collect();
    assert_eq!(keys, ["memroy", "memory", "vcpus"]);
}

#[test]
fn sets_of_cpus() {
    let set = |text: &str| {
        let meaning = accepts(&format!("vcpus=1\ncpus='{text}'"));
        meaning.config.b_info.vcpu_hard_affinity[0].clone()
    };
    assert_eq!(set("0-3,^2"), Bitmap::from([0, 1, 3]));
    // Whole bytes: the host has 12 CPUs.
    assert_eq!(set("all"), Bitmap::first(16));
    assert_eq!(set("nodes:0,^node:0,3"), Bitmap::from([3]));
    assert_eq!(set("node:0-4"), Bitmap::first(12));
    assert_eq!(set("15,16,99"), Bitmap::from([15]));
    for wrong in [
        "",
        "all,^nodes:0,^12-15",
        "99",
        "^all",
        "3-1",
        "a",
        "1-",
        "-1",
        "^nodes:all",
    ] {
        refuses(&format!("vcpus=1\ncpus='{wrong}'"), "cpus");
    }
}

#[test]
fn a_pv_guest_keeps_reserved_memory_clear_strictly() {
    let policy = |lines: &str| accepts(lines).config.pcidevs[0].rdm_policy.clone();
    assert_eq!(policy("pci=['07:00.0']"), Some(RdmReservePolicy::Strict));
    assert_eq!(policy("type='hvm'\npci=['07:00.0']"), None);
    let relaxed = "type='hvm'\npci=['07:00.0,rdm_policy=relaxed']";
    assert_eq!(policy(relaxed), Some(RdmReservePolicy::Relaxed));
}

#[test]
fn firmware_for_short() {
    let hvm = |text: &str| match accepts(&format!("type='hvm'\nfirmware='{text}'"))
        .config
        .b_info
        .guest
    {
        Guest::Hvm(hvm) => (hvm.bios.clone(), hvm.firmware.clone()),
        _ => panic!("not HVM"),
    };
    assert_eq!(hvm("uefi"), (Some(BiosType::Ovmf), None));
    assert_eq!(hvm("bios"), (None, None));
    assert_eq!(hvm("OVMF"), (Some(BiosType::Ovmf), None));
    assert_eq!(hvm("/f"), (None, Some("/f".into())));
}

#[test]
fn settings_of_xl_itself() {
    let conf = XlConfig::parse(
        "vif.default.bridge='br1'\nclaim_mode=0\nvm.cpumask='0-1'\nmax_grant_frames=9\n",
        "xl.conf",
    )
    .unwrap();
    let conf = XlConf::of(&conf).unwrap();
    let text = "name='a'\nkernel='/k'\nvcpus=2\nvif=['']\n";
    let file = XlConfig::parse(text, "a.cfg").unwrap();
    let config = file.domain_config(&Host::new(4), &conf).unwrap().config;
    assert_eq!(config.nics[0].bridge.as_deref(), Some("br1"));
    assert_eq!(config.b_info.claim_mode, Some(false));
    assert_eq!(config.b_info.max_grant_frames, Some(9));
    let both = Bitmap::from([0, 1]);
    assert_eq!(config.b_info.vcpu_hard_affinity, [both.clone(), both]);
}

#[test]
fn an_unknown_key_is_found_by_the_release() {
    let newer = super::keys::KEYS
        .iter()
        .filter(|key| key.since > super::release::Release::BUILT_FOR.0);
    for key in newer {
        let meaning = accepts(&format!("{} = 1", key.name));
        assert_eq!(meaning.warnings[0].key, key.name);
    }
}
