//! Compares the meaning of `xl.cfg` with the real `xl`.
//!
//! For every file of the corpus, and for random files, `xl create -n` prints the same configuration, or both refuse
//! the file.

use std::{env, fs, path::Path, process::Command};

use libxl::{
    Context,
    config::lost_fields,
    xlcfg::{Host, XlConf, XlConfig},
};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, TestRunner},
};
use serde_json::Value;

use crate::support::{context, outsider_is_there};

#[path = "../../libxl/tests/xlcfg/corpus.rs"]
pub(crate) mod corpus;
#[path = "../../libxl/tests/xlcfg/generate.rs"]
pub(crate) mod generate;
#[path = "../../libxl/tests/xlcfg/list.rs"]
pub(crate) mod list;

/// Number of random files, unless `XLCFG_RANDOM` sets another one.
const RANDOM: usize = 100;

/// Returns the configuration that `xl` prints, or its error.
fn theirs(path: &Path, overrides: &[String]) -> Result<Value, String> {
    let out = Command::new("xl")
        .args(["create", "-n"])
        .arg(path)
        .args(overrides)
        .output()
        .expect("xl runs");
    let (said, complaint) = (
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr),
    );
    if !out.status.success() {
        return Err(format!("{}: {complaint}", out.status));
    }
    let json = said
        .find('{')
        .map(|start| &said[start..])
        .ok_or_else(|| format!("no JSON: {said}{complaint}"))?;
    let whole: Value = serde_json::from_str(json).map_err(|e| format!("{e}: {said}"))?;
    Ok(whole.get("config").cloned().unwrap_or(whole))
}

/// Returns the configuration that this crate reads from the file, or its error.
fn ours(host: &Host, conf: &XlConf, path: &Path, overrides: &[String]) -> Result<Value, String> {
    let file = XlConfig::read_with(path, overrides).map_err(|e| e.to_string())?;
    let meaning = file.domain_config(host, conf).map_err(|e| e.to_string())?;
    serde_json::to_value(&meaning.config).map_err(|e| e.to_string())
}

/// Removes random values: a UUID that the file does not set, and a generation ID.
fn settle(config: &mut Value, text: &str) {
    let own = XlConfig::parse(text, "").and_then(|file| file.string("uuid"));
    if !matches!(own, Ok(Some(_))) {
        if let Some(c_info) = config.pointer_mut("/c_info").and_then(Value::as_object_mut) {
            c_info.remove("uuid");
        }
    }
    if let Some(hvm) = config
        .pointer_mut("/b_info/type.hvm")
        .and_then(Value::as_object_mut)
    {
        hvm.remove("ms_vm_genid");
    }
}

/// Lists the differences between both results, one line each. Paths in `differs` are ignored.
fn differences(
    theirs: &Result<Value, String>,
    ours: &Result<Value, String>,
    text: &str,
    differs: &[&str],
) -> Vec<String> {
    let (theirs, ours) = match (theirs, ours) {
        (Err(_), Err(_)) => return Vec::new(),
        (Ok(_), Err(why)) => return vec![format!("xl accepts it, we do not: {why}")],
        (Err(why), Ok(_)) => return vec![format!("we accept it, xl does not: {why}")],
        (Ok(theirs), Ok(ours)) => (theirs, ours),
    };
    let (mut theirs, mut ours) = (theirs.clone(), ours.clone());
    settle(&mut theirs, text);
    settle(&mut ours, text);
    let mut found = Vec::new();
    // Compared in both directions: no field of either may be missing or different in the other.
    for (whose, sent, read) in [("xl", &theirs, &ours), ("ours", &ours, &theirs)] {
        for field in lost_fields(sent, read) {
            if !differs.iter().any(|path| field.starts_with(path)) {
                let (xl, own) = (value_at(&theirs, &field), value_at(&ours, &field));
                found.push(format!("{whose} has another {field}: xl {xl}, ours {own}"));
            }
        }
    }
    found
}

/// Returns the value at a path, as far as the path can be followed.
fn value_at(config: &Value, path: &str) -> Value {
    let pointer = format!(
        "/{}",
        path.replace('[', "/").replace(']', "").replace('.', "/")
    );
    let joined = ["hvm", "pv", "pvh", "hostdev"]
        .iter()
        .fold(pointer, |pointer, arm| {
            pointer.replace(&format!("/type/{arm}"), &format!("/type.{arm}"))
        });
    config.pointer(&joined).cloned().unwrap_or(Value::Null)
}

fn settings(ctx: &Context) -> (Host, XlConf) {
    (Host::of(ctx).unwrap(), XlConf::read().unwrap())
}

#[test]
fn xl_makes_the_same_of_every_file_of_the_corpus() {
    if !outsider_is_there() {
        return;
    }
    let ctx = context();
    let (host, conf) = settings(&ctx);
    let dir = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    let (mut accepted, mut refused) = (0, 0);
    for case in corpus::corpus() {
        let path = dir.path().join(format!("{}.cfg", case.name));
        fs::write(&path, case.text).unwrap();
        let ours = ours(&host, &conf, &path, &case.overrides);
        if case.outcome_differs {
            continue;
        }
        let theirs = theirs(&path, &case.overrides);
        match theirs {
            Ok(_) => accepted += 1,
            Err(_) => refused += 1,
        }
        let found = differences(&theirs, &ours, case.text, &case.differs);
        wrong.extend(
            found
                .into_iter()
                .map(|line| format!("{}: {line}", case.name)),
        );
    }
    println!("xl accepted {accepted} files and refused {refused}");
    assert!(accepted > 150 && refused > 50, "{accepted}, {refused}");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn xl_makes_the_same_of_random_files() {
    if !outsider_is_there() {
        return;
    }
    let count = env::var("XLCFG_RANDOM").map_or(RANDOM, |count| count.parse().unwrap());
    let ctx = context();
    let (host, conf) = settings(&ctx);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("random.cfg");
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::default()
    });
    let files = generate::files(6);
    let mut wrong = Vec::new();
    let mut accepted = 0;
    for _ in 0..count {
        let text = files.new_tree(&mut runner).unwrap().current();
        fs::write(&path, &text).unwrap();
        let theirs = theirs(&path, &[]);
        let ours = ours(&host, &conf, &path, &[]);
        accepted += usize::from(theirs.is_ok());
        let found = differences(&theirs, &ours, &text, &[]);
        if !found.is_empty() {
            wrong.push(format!("{}\nof\n{text}", found.join("\n")));
        }
    }
    println!("xl accepted {accepted} of {count} random files");
    assert!(accepted > 0);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}
