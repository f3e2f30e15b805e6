//! The meaning of `xl.cfg`: the corpus, random files, and the table in `docs/xl-cfg.md`.
//!
//! The live tests compare the corpus with the results of `xl` itself. The tests here compare it
//! with recorded results: `BLESS=1 cargo test -p libxl --test xlcfg` writes these anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test may.

mod corpus;
mod generate;
mod list;
mod table;

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use libxl::{
    DomainConfig,
    xlcfg::{Complaint, Host, KEYS, Meaning, XlConf, XlConfig},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use corpus::{Case, corpus};

fn cases() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/xlcfg/cases")
}

/// A host that is the same everywhere.
fn host() -> Host {
    let mut host = Host::new(8);
    host.firmware_dir = "/usr/lib/xen/boot".into();
    host
}

fn read(file: &XlConfig) -> Result<Meaning, Complaint> {
    file.domain_config(&host(), &XlConf::default())
}

fn parse(case: &Case) -> libxl::Result<XlConfig> {
    XlConfig::parse_with(case.text, &format!("{}.cfg", case.name), &case.overrides)
}

/// The outcome without random values and without wording.
fn outcome(case: &Case) -> Value {
    let short = |complaint: &Complaint| {
        let text = complaint.to_string();
        text[..text.len() - complaint.message.len() - 2].to_owned()
    };
    let Ok(file) = parse(case) else {
        return json!({ "unreadable": true });
    };
    match read(&file) {
        Err(complaint) => json!({ "refused": short(&complaint) }),
        Ok(Meaning {
            config, warnings, ..
        }) => {
            let mut config = serde_json::to_value(config).unwrap();
            if file.string("uuid").ok().flatten().is_none() {
                config["c_info"].as_object_mut().unwrap().remove("uuid");
            }
            if let Some(hvm) = config
                .pointer_mut("/b_info/type.hvm")
                .and_then(Value::as_object_mut)
            {
                hvm.remove("ms_vm_genid");
            }
            let warnings: Vec<String> = warnings.iter().map(short).collect();
            json!({ "config": config, "warnings": warnings })
        }
    }
}

#[test]
fn the_list_is_that_of_the_directory() {
    let listed: BTreeSet<String> = list::CASES.iter().map(|(name, _)| (*name).into()).collect();
    let there: BTreeSet<String> = fs::read_dir(cases())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "cfg"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(listed, there);
    assert!(listed.len() >= 150, "{}", listed.len());
}

/// The recorded results are those of Xen 4.17: other releases have other keys and rules.
#[test]
fn results_are_those_that_were_found_before() {
    if !libxl::BUILT_FOR.starts_with("4.17") {
        println!("not compared: this is libxl {}", libxl::BUILT_FOR);
        return;
    }
    let mut wrong = Vec::new();
    for case in corpus() {
        let path = cases().join(format!("{}.json", case.name));
        let found = format!("{:#}\n", outcome(&case));
        if env::var_os("BLESS").is_some() {
            fs::write(&path, &found).unwrap();
            continue;
        }
        let before = fs::read_to_string(&path).unwrap_or_default();
        if found != before {
            wrong.push(format!("{}: {found}before: {before}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_complaint_names_file_and_key() {
    for case in corpus() {
        let Ok(file) = parse(&case) else {
            continue;
        };
        let complaints = match read(&file) {
            Ok(meaning) => meaning.warnings,
            Err(complaint) => vec![complaint],
        };
        for complaint in complaints {
            assert!(complaint.message.len() > 10, "{complaint}");
            let text = complaint.to_string();
            assert!(text.starts_with(case.name), "{text}");
            assert!(text.contains(&format!(": {}: ", complaint.key)), "{text}");
            let there = file.keys().contains(&complaint.key.as_str());
            assert_eq!(complaint.place.is_some(), there, "{text}");
        }
    }
}

/// The configuration of a file is written and read as libxl's JSON without a loss.
#[test]
fn every_result_survives_json() {
    for case in corpus() {
        if let Some(Ok(Meaning { config, .. })) = parse(&case).ok().map(|file| read(&file)) {
            let text = serde_json::to_string(&config).unwrap();
            let back: DomainConfig = serde_json::from_str(&text).unwrap();
            assert_eq!(back, config, "{}", case.name);
        }
    }
}

#[test]
fn every_file_that_is_read_off_xen_is_read() {
    for case in corpus().filter(|case| case.needs_context) {
        let complaint = read(&parse(&case).unwrap()).unwrap_err();
        assert_eq!(complaint.key, "cpuid", "{complaint}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Random files are read or refused, and a refusal names a key that xl has.
    #[test]
    fn random_files_do_no_harm(text in generate::files(12)) {
        let Ok(file) = XlConfig::parse(&text, "random.cfg") else {
            return Ok(());
        };
        match read(&file) {
            Ok(Meaning { config, warnings, .. }) => {
                let json = serde_json::to_string(&config).unwrap();
                let back: DomainConfig = serde_json::from_str(&json).unwrap();
                prop_assert_eq!(back, config);
                for warning in warnings {
                    prop_assert!(file.keys().contains(&warning.key.as_str()), "{}", warning);
                }
            }
            Err(complaint) => {
                prop_assert!(KEYS.iter().any(|key| key.name == complaint.key), "{}", complaint);
                prop_assert!(complaint.to_string().starts_with("random.cfg"), "{}", complaint);
            }
        }
    }

    /// Random texts are read or refused as well.
    #[test]
    fn random_texts_do_no_harm(text in "[a-z0-9_= \\[\\]'\"#,;+\n-]{0,80}") {
        if let Ok(file) = XlConfig::parse(&text, "random.cfg") {
            let _ = read(&file);
        }
    }
}
