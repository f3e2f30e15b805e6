use super::{Value, XlConfig, parse_disk, parse_pci, parse_pci_bdf, parse_rdm, parse_vif_rate};
use crate::{
    ErrorKind,
    config::{Pci, RdmReservePolicy, RdmReserveStrategy},
    have,
};

fn parse(text: &str) -> XlConfig {
    XlConfig::parse(text, "test.cfg").unwrap()
}

/// libxlutil ends the process at these: an assertion, and a scanner that is stuck.
#[test]
fn what_libxlutil_does_not_survive_is_refused() {
    for text in ["name = '\0'\n", "'\u{6}\0#/'", "\0", "# \0\n"] {
        let text = format!("memory = 64\n{text}");
        let error = XlConfig::parse(&text, "test.cfg").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(
            error.to_string().contains("test.cfg:2: has a NUL"),
            "{error}"
        );
    }
    let overrides = ["vcpus=2".to_owned(), "name='\0'".to_owned()];
    let error = XlConfig::parse_with("memory = 64", "test.cfg", &overrides).unwrap_err();
    assert!(
        error.to_string().contains(r#""name='\0'": has a NUL"#),
        "{error}"
    );
    for spec in ["=\n", "=\n%", "/dev/x,raw,xvda,=\n", "target=/x\n=\n"] {
        let error = parse_disk(spec).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("a line break"), "{error}");
    }
    // A file may say it with an escape.
    let file = parse(r#"disk = [ "=\n" ]"#);
    assert_eq!(file.list("disk").unwrap().unwrap().len(), 1);
}

#[test]
fn values_that_are_no_text_are_refused_with_their_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("latin.cfg");
    for (text, wanted) in [
        (
            &b"name = 'x'\nkernel = '/boot/k\xe4se'\n"[..],
            Some("2: kernel"),
        ),
        (b"name = 'x'\ndisk = [ 'a',\n 'b\xff' ]\n", Some("2: disk")),
        (b"list = [ [ 'x', ['\xc3'] ] ]\n", Some("1: list")),
        // Nobody reads comments.
        (b"# sch\xf6n\nname = 'x' # \xff\n", None),
        ("name = 'sch\u{f6}n \u{fffd}'\n".as_bytes(), None),
    ] {
        std::fs::write(&path, text).unwrap();
        for read in [XlConfig::read(&path), XlConfig::read_with(&path, &[])] {
            let wanted =
                wanted.map(|at| format!("{}:{at}: has bytes that are not UTF-8", path.display()));
            match (read, wanted) {
                (Ok(_), None) => {}
                (Err(e), Some(wanted)) => assert!(e.to_string().contains(&wanted), "{e}"),
                (found, wanted) => panic!("{found:?} instead of {wanted:?}"),
            }
        }
    }
}

#[test]
fn values_of_all_kinds() {
    let config = parse(
        "text = 'a b'\nnumber = '-12'\nyes = 1\nno = 0\n\
         list = [ 'x', [ 'y', [] ], 'z' ]\nwords = [ 'p', 'q' ]\nempty = []",
    );
    let text = |text: &str| Value::String(text.into());
    assert_eq!(config.string("text").unwrap().as_deref(), Some("a b"));
    assert_eq!(config.string("number").unwrap().as_deref(), Some("-12"));
    assert_eq!(config.number("number").unwrap(), Some(-12));
    assert_eq!(config.flag("yes").unwrap(), Some(true));
    assert_eq!(config.flag("no").unwrap(), Some(false));
    let inner = Value::List(vec![text("y"), Value::List(vec![])]);
    assert_eq!(
        config.list("list").unwrap(),
        Some(vec![text("x"), inner, text("z")])
    );
    assert_eq!(config.list("empty").unwrap(), Some(vec![]));
    assert_eq!(
        config.strings("words").unwrap(),
        Some(vec!["p".to_owned(), "q".to_owned()])
    );
    assert_eq!(
        config.strings("text").unwrap(),
        Some(vec!["a b".to_owned()])
    );
    assert_eq!(config.strings("empty").unwrap(), Some(vec![]));
}

#[test]
fn what_is_not_there_is_no_error() {
    let config = parse("");
    assert_eq!(config.string("x").unwrap(), None);
    assert_eq!(config.number("x").unwrap(), None);
    assert_eq!(config.number_within("x", 0, 1).unwrap(), None);
    assert_eq!(config.flag("x").unwrap(), None);
    assert_eq!(config.list("x").unwrap(), None);
    assert_eq!(config.strings("x").unwrap(), None);
}

#[test]
fn what_is_of_another_kind_is_named() {
    let config = parse("list = [ 'x', [ 'y' ] ]\ntext = 'abc'\nnumber = 70");
    for (error, words) in [
        (config.string("list").unwrap_err(), "test.cfg:1"),
        (config.number("text").unwrap_err(), "test.cfg:2"),
        (config.list("text").unwrap_err(), "test.cfg:2"),
        (
            config.strings("list").unwrap_err(),
            "xlu_cfg_get_list_as_string_list",
        ),
        (
            config.number_within("number", 0, 69).unwrap_err(),
            "test.cfg:3",
        ),
    ] {
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(config.number_within("number", 0, 70).unwrap(), Some(70));
    // Each complaint stands alone.
    let error = config.number("text").unwrap_err();
    assert!(!error.to_string().contains("test.cfg:1"), "{error}");
    config.string("a\0b").unwrap_err();
}

#[test]
fn files_are_read_or_the_reason_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.cfg");
    std::fs::write(&path, "name='x'").unwrap();
    let config = XlConfig::read(&path).unwrap();
    assert_eq!(config.string("name").unwrap().as_deref(), Some("x"));
    std::fs::write(&path, "name=\n'x' 'y'").unwrap();
    let error = XlConfig::read(&path).unwrap_err();
    assert!(error.to_string().contains("x.cfg:"), "{error}");
    let error = XlConfig::read(&dir.path().join("none")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
}

#[test]
fn pci_devices() {
    let device = parse_pci_bdf("0001:07:1f.3").unwrap();
    assert_eq!(
        (device.domain, device.bus, device.dev, device.func),
        (1, 7, 0x1f, 3)
    );
    let device = parse_pci("07:00.1@5,permissive=1,rdm_policy=strict").unwrap();
    assert_eq!((device.bus, device.func, device.permissive), (7, 1, true));
    assert_eq!(device.vdevfn, Some(5 << 3));
    assert_eq!(device.rdm_policy, Some(RdmReservePolicy::Strict));
    assert_ne!(device, Pci::new(0, 7, 0, 1));
    for wrong in ["", "7", "07:00", "07:00.1,rdm_policy=perhaps"] {
        let error = parse_pci(wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{wrong}: {error}");
    }
    // libxlutil before Xen 4.15 ignores an option that it does not know.
    let unknown = parse_pci("07:00.1,colour=red");
    assert_eq!(
        unknown.is_err(),
        have("device_pci_list_free"),
        "{unknown:?}"
    );
}

/// libxlutil does not survive these addresses; seen under valgrind.
#[test]
fn addresses_without_a_function_do_not_reach_libxlutil() {
    for wrong in [
        "07:00",
        "0000:07:00",
        "07:00@5",
        "07:00,permissive=1",
        "permissive=1,bdf=07:00",
        "bdf=0:07:00x",
        "07: 00.1",
    ] {
        for parse in [parse_pci, parse_pci_bdf] {
            let error = parse(wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{wrong}: {error}");
            let said = error.to_string();
            assert!(said.contains("ends in a point"), "{wrong}: {said}");
        }
    }
    // Libxlutil's own complaints.
    for wrong in ["", "7", "07:.1", "07:00.", ":.", "::."] {
        let error = parse_pci(wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{wrong}: {error}");
    }
    if cfg!(libxl_have = "device_pci_name") {
        let device = parse_pci("bdf=07:00.*,permissive=1").unwrap();
        assert_eq!((device.bus, device.permissive), (7, true));
    }
}

#[test]
fn reserved_memory_and_rates() {
    let rdm = parse_rdm("strategy=host").unwrap();
    assert_eq!(rdm.strategy, Some(RdmReserveStrategy::Host));
    // Strict or an error: libxlutil of Xen 4.17 takes no policy here.
    let policy = parse_rdm("strategy=host,policy=strict").map(|rdm| rdm.policy);
    assert!(!matches!(policy, Ok(other) if other != Some(RdmReservePolicy::Strict)));
    assert_eq!(
        parse_rdm("strategy=moon").unwrap_err().kind(),
        ErrorKind::Invalid
    );
    let nic = parse_vif_rate("10MB/s").unwrap();
    assert_eq!(nic.rate_interval_usecs, Some(50_000));
    assert_eq!(nic.rate_bytes_per_interval, Some(500_000));
    let none = parse_vif_rate("0b/s").unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Invalid, "{none}");
    let error = parse_vif_rate("fast").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

/// Any text leads to an answer or an error. Under valgrind this also shows that nothing else is
/// read.
#[test]
fn any_text_is_survived() {
    // Pieces of valid texts, in any order, so that a parser is led far into them.
    const PIECES: &[&str] = &[
        "07:00.1",
        "07:00",
        "0000:",
        ":",
        ".",
        "*",
        "@",
        "5",
        ",",
        "=",
        "bdf=",
        "name=",
        "a",
        "vslot=",
        "permissive=1",
        "rdm_policy=",
        "strict",
        "strategy=",
        "host",
        "policy=",
        "10MB/s",
        "kB/s",
        "@20ms",
        "us",
        "x",
        "\"",
        "'",
        "[",
        "]",
        "\n",
        "#",
        " ",
        "\\",
        "é",
        "memory",
        "0x",
        "-1",
        "99999999999999999999",
        ";",
        "(",
        ")",
    ];
    // Xorshift: the same texts each time.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    for _ in 0..2000 {
        let text: String = (0..draw(7)).map(|_| PIECES[draw(PIECES.len())]).collect();
        let _ = parse_pci(&text);
        let _ = parse_pci_bdf(&text);
        let _ = parse_rdm(&text);
        let _ = parse_vif_rate(&text);
        if let Ok(config) = XlConfig::parse(&text, "any") {
            let _ = config.string("a");
            let _ = config.number("memory");
            let _ = config.flag("x");
            let _ = config.list("a");
        }
    }
}
