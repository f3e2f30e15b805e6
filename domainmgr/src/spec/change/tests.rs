use std::sync::Arc;

use libxl::config;
use libxl::xlcfg::{self, XlConf, XlConfig};
use uuid::Uuid;

use super::*;
use crate::frontends::control::parse;
use crate::frontends::control::parse::Wanted;
use crate::frontends::eve::{self, DomainConfig, VifConfig};
use crate::frontends::xl::Host;
use crate::spec::disks::Written;
use crate::spec::domain::{Mode, Spec};
use crate::spec::render::{domain_config, xl_cfg};

fn host() -> Host {
    Host {
        facts: xlcfg::Host::new(4),
        conf: XlConf::default(),
    }
}

fn spec(mode: Mode) -> Arc<Spec> {
    let key = Uuid::from_u128(7);
    let config = DomainConfig {
        uuid_and_version: eve::UuidAndVersion {
            uuid: key.to_string(),
            version: String::new(),
        },
        display_name: "a".into(),
        app_num: 1,
        kernel: "/k".into(),
        memory: eve::Kilobytes(128 << 10),
        vcpus: 1,
        max_cpus: 2,
        virtualization_mode: eve::ModeField::Word(mode.word().into()),
        vif_list: vec![VifConfig::default(), VifConfig::default()],
        ..DomainConfig::default()
    };
    Arc::new(eve::spec(key, &config).unwrap())
}

/// The same domain, as a file of xl's would have it.
fn given(mode: Mode) -> Spec {
    let spec = spec(mode);
    Spec {
        given: Some(Box::new(domain_config(&spec))),
        ..Spec::clone(&spec)
    }
}

fn all() -> Vec<Change> {
    let host = host();
    let wanted = Wanted {
        memory: Some(96),
        vcpus: Some(2),
        cpus: Some("1-3,^2"),
        weight: Some(512),
        cap: Some(50),
    };
    vec![
        parse::disk("format=qcow2,vdev=xvdb,target=/images/data", &host).unwrap(),
        parse::nic("bridge=xenbr1,rate=1MB/s", &host, Mode::Pv).unwrap(),
        parse::figures(&wanted, &host).unwrap(),
        Change::DetachNic(spec(Mode::Pv).nics[0].mac),
    ]
}

#[test]
fn what_is_written_is_read_as_xl_reads_it() {
    let host = host();
    let Change::AttachDisk(disk) = parse::disk("/dev/vg/a,raw,xvdb,ro", &host).unwrap() else {
        panic!()
    };
    assert_eq!(
        disk.config,
        config::Disk::raw("/dev/vg/a", "xvdb").read_only()
    );
    let Change::AttachNic(nic) = parse::nic("bridge=b", &host, Mode::Hvm).unwrap() else {
        panic!()
    };
    let mac = nic.config.mac.unwrap();
    assert_eq!(nic.text, format!("bridge=b,mac={mac},type=vif"));
    assert_eq!(nic.config.nictype, Some(config::NicType::Vif));
    let Change::AttachNic(nic) = parse::nic("", &host, Mode::Pv).unwrap() else {
        panic!()
    };
    assert!(nic.text.starts_with("mac=00:16:3e:"), "{}", nic.text);
    assert_eq!(
        all()[2].to_string(),
        "set memory=96 vcpus=2 cpus=1,3 weight=512 cap=50"
    );
}

#[test]
fn what_is_wrong_is_named() {
    let host = host();
    let disk = |text| parse::disk(text, &host).unwrap_err();
    let nic = |text| parse::nic(text, &host, Mode::Pv).unwrap_err();
    for (said, words) in [
        (disk("/x,raw,xvdb,rx"), "xvdb"),
        (disk("vdev=xvdb,colour=red,target=/x"), "colour"),
        (nic("mac=00:16"), "vif: mac=00:16: too short"),
        (nic("rate=fast"), "vif: rate=fast: no rate"),
        (nic("x\" ]\nkernel = [ \""), "ignored"),
    ] {
        assert!(said.contains(words), "{said}");
        assert!(!said.contains("-:"), "{said}");
    }
    let nics = [VifConfig {
        vif: "vif3.0".into(),
        mac: "00:16:3e:00:00:01".into(),
        ..VifConfig::default()
    }];
    let found = Change::DetachNic([0, 0x16, 0x3e, 0, 0, 1]);
    for which in ["vif3.0", "00:16:3E:00:00:01"] {
        assert_eq!(parse::which_nic(which, &nics), Ok(found.clone()));
    }
    let words = "nic: there is no eth0, but vif3.0 (00:16:3e:00:00:01)";
    assert_eq!(parse::which_nic("eth0", &nics), Err(words.to_owned()));
}

/// The text that is written for people is equivalent to the configuration that libxl is given.
#[test]
fn a_changed_domain_is_written_down_as_it_is_built() {
    for mode in [Mode::Pv, Mode::Pvh] {
        let mut changes = Changes::default();
        let spec = spec(mode);
        for change in all() {
            changes.push(change, Some(&spec));
        }
        let changed = Spec::clone(&changes.applied(&spec)).anew();
        let text = xl_cfg(&changed);
        let read = XlConfig::parse(&text, "x").unwrap();
        let read = read.domain_config(&xlcfg::Host::new(4), &XlConf::default());
        let read = read.unwrap_or_else(|e| panic!("{e}: {text}")).config;
        let built = domain_config(&changed);
        assert_eq!(read.disks, built.disks, "{text}");
        assert_eq!(read.nics, built.nics, "{text}");
        assert_eq!(built.nics.len(), 2);
        let (read, built) = (read.b_info, built.b_info);
        assert_eq!(read.target_memkb, built.target_memkb);
        assert_eq!(read.max_memkb, built.max_memkb);
        assert_eq!(read.avail_vcpus, built.avail_vcpus);
        assert_eq!(read.vcpu_hard_affinity, built.vcpu_hard_affinity);
        assert_eq!(read.sched_params, built.sched_params);
        // A spec from a file of xl's ends in the same configuration.
        let given = changes.applied(&Arc::new(given(mode)));
        let given = domain_config(&given);
        assert_eq!(
            (given.disks, given.nics),
            (changed_disks(&changed), changed_nics(&changed))
        );
        assert_eq!(given.b_info.target_memkb, built.target_memkb);
        assert_eq!(given.b_info.max_memkb, built.max_memkb);
        assert_eq!(given.b_info.avail_vcpus, built.avail_vcpus);
        assert_eq!(given.b_info.vcpu_hard_affinity, built.vcpu_hard_affinity);
        assert_eq!(given.b_info.sched_params, built.sched_params);
    }
}

fn changed_disks(spec: &Spec) -> Vec<config::Disk> {
    domain_config(spec).disks
}

fn changed_nics(spec: &Spec) -> Vec<config::Nic> {
    domain_config(spec).nics
}

#[test]
fn a_change_that_is_there_changes_nothing() {
    for spec in [Spec::clone(&spec(Mode::Pv)), given(Mode::Pv)] {
        for change in all() {
            let once = change.applied(&spec);
            assert_ne!(once, spec, "{change}");
            assert_eq!(change.applied(&once), once, "{change}");
        }
    }
}

/// A drive contains the disc that was inserted last, whether the drive was configured or attached.
#[test]
fn the_disc_of_a_drive_that_was_attached_is_remembered_with_it() {
    let host = host();
    for spec in [spec(Mode::Hvm), Arc::new(given(Mode::Hvm))] {
        let mut changes = Changes::default();
        let drive = parse::disk("/one,,xvdc,cdrom", &host).unwrap();
        changes.push(drive.clone(), Some(&spec));
        let has = drive.applied(&spec);
        let (vdev, path) = ("xvdc".to_owned(), "/two".to_owned());
        for disc in [
            Change::Insert {
                vdev: vdev.clone(),
                path,
            },
            Change::Eject { vdev },
        ] {
            let words = [String::from(
                "attach disk xvdc waits for the next start: an HVM domain gets its CD-ROM drives when it starts",
            )];
            assert_eq!(changes.waiting(&spec), words);
            let has = disc.applied(&has);
            changes.push(disc, Some(&spec));
            assert_eq!(changes.words(), ["attach disk xvdc"]);
            assert_eq!(changes.waiting(&has), [""; 0]);
            let built = Arc::unwrap_or_clone(changes.applied(&spec)).anew();
            assert_eq!(domain_config(&built).disks, domain_config(&has).disks);
        }
    }
}

#[test]
fn interfaces_keep_their_numbers_as_long_as_the_domain_runs() {
    let spec = spec(Mode::Pv);
    let without = Change::DetachNic(spec.nics[0].mac).applied(&spec);
    let numbers = |spec: &Spec| spec.nics.iter().map(|nic| nic.devid).collect::<Vec<_>>();
    assert_eq!(numbers(&without), [Some(1)]);
    let with = all()[1].applied(&without);
    assert_eq!(numbers(&with), [Some(1), Some(2)]);
    assert_eq!(numbers(&with.anew()), [None, None]);
}

#[test]
fn the_last_change_of_a_thing_counts() {
    let file = spec(Mode::Pv);
    let mut changes = Changes::default();
    let disk = |path: &str| {
        Change::AttachDisk(Box::new(Written {
            text: String::new(),
            config: config::Disk::raw(path, "xvdb"),
        }))
    };
    let memory = |mib| {
        Change::Set(Figures {
            memory_mib: Some(mib),
            ..Figures::default()
        })
    };
    for change in [
        disk("/a"),
        memory(64),
        disk("/b"),
        memory(96),
        all().remove(2),
    ] {
        changes.push(change, Some(&file));
    }
    let words = [
        "attach disk xvdb",
        "set memory=96 vcpus=2 cpus=1,3 weight=512 cap=50",
    ];
    assert_eq!(changes.words(), words);
    assert_eq!(changes.applied(&file).disks[0].path, "/b");
    // The file has no such disk: nothing is left of it.
    changes.push(Change::DetachDisk("xvdb".into()), Some(&file));
    assert_eq!(changes.words(), words[1..]);
    // It has this interface.
    changes.push(Change::DetachNic(file.nics[0].mac), Some(&file));
    assert_eq!(changes.words().len(), 2);
}
