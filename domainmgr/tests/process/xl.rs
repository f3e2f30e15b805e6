//! Files of xl's, with the real program and a simulated Xen.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::common::{A, Host, domainmgr, domid};
use domainmgr::frontends::xl::{key_of_file, key_of_name};
use serde_json::{Value, json};

/// A host with a directory of xl's files and an agent that reads it.
fn start() -> Host {
    let mut host = Host::new();
    fs::create_dir(host.path("auto")).unwrap();
    run(&mut host);
    host
}

fn run(host: &mut Host) {
    let dir = host.path("auto");
    host.run(&["--xl-dir", dir.to_str().unwrap()]);
}

/// A file that works, with more lines.
fn text(host: &Host, name: &str, more: &str) -> String {
    let kernel = host.path("kernel");
    format!(
        "name = \"{name}\"\nkernel = \"{}\"\nmemory = 128\n{more}",
        kernel.display()
    )
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

fn file(host: &Host, name: &str) -> PathBuf {
    host.path("auto").join(name)
}

fn put(host: &Host, name: &str, domain: &str, more: &str) {
    write(&file(host, name), &text(host, domain, more));
}

fn key(name: &str) -> String {
    key_of_name(name).to_string()
}

/// Waits until another domain runs than `before`.
fn wait_other(host: &Host, key: &str, before: &Value) -> Value {
    host.wait(key, "another domain", |s| {
        s["StateName"] == "RUNNING" && s["DomainId"] != before["DomainId"]
    })
}

/// The configuration that libxl was given.
fn built(host: &Host, key: &str) -> Value {
    let path = host.path("run/xen").join(format!("{key}.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn files_are_wishes_and_links_are_followed() {
    let host = start();
    put(
        &host,
        "web.cfg",
        "web",
        "vif = [ 'bridge=br0' ]\nunheard_of = 1\n",
    );
    put(&host, "db.cfg", "db", &format!("uuid = '{A}'\n"));
    let elsewhere = host.path("mail.cfg");
    write(&elsewhere, &text(&host, "mail", ""));
    symlink("../mail.cfg", file(&host, "mail")).unwrap();
    let (web, mail) = (key("web"), key("mail"));
    let first = host.wait_state(&web, "RUNNING");
    assert_eq!(first["DisplayName"], "web");
    assert_eq!(first["DomainName"], "web");
    let warnings = first["Warnings"].to_string();
    assert!(warnings.contains("web.cfg:5: unheard_of"), "{warnings}");
    host.wait_state(A, "RUNNING");
    let before = host.wait_state(&mail, "RUNNING");

    // The target of the link has changed: the agent is told at once, not at its next look around. A domain that runs
    // goes on as it is.
    write(&elsewhere, &text(&host, "mail", "vcpus = 2\n"));
    host.wait(&mail, "the new file", |s| {
        s["ConfigDigest"] != before["ConfigDigest"]
    });
    assert_eq!(host.status(&mail).unwrap()["DomainId"], before["DomainId"]);
    host.does(&["restart", "mail"]);
    wait_other(&host, &mail, &before);
    assert_eq!(built(&host, &mail)["b_info"]["max_vcpus"], 2);

    // The guest finds the same network card again.
    let mac = built(&host, &web)["nics"][0]["mac"].clone();
    assert!(mac.is_string(), "{mac}");
    put(
        &host,
        "web.cfg",
        "web",
        "vif = [ 'bridge=br0' ]\nmaxmem = 256\n",
    );
    host.wait(&web, "the new file", |s| {
        s["ConfigDigest"] != first["ConfigDigest"]
    });
    host.does(&["restart", "web"]);
    let second = wait_other(&host, &web, &first);
    assert_eq!(built(&host, &web)["nics"][0]["mac"], mac);
    assert_eq!(built(&host, &web)["b_info"]["max_memkb"], 256 << 10);

    // Another name of the file is the same domain.
    fs::rename(file(&host, "web.cfg"), file(&host, "z-web.cfg")).unwrap();
    put(&host, "last.cfg", "last", "");
    host.wait_state(&key("last"), "RUNNING");
    assert_eq!(host.status(&web).unwrap()["DomainId"], second["DomainId"]);

    fs::remove_file(file(&host, "z-web.cfg")).unwrap();
    fs::remove_file(file(&host, "mail")).unwrap();
    host.wait_gone(&web);
    host.wait_gone(&mail);
    assert_eq!(host.domains(), 2);
}

#[test]
fn a_file_that_cannot_be_used_harms_nothing_and_says_where_it_is_wrong() {
    let mut host = start();
    put(&host, "web.cfg", "web", "");
    let web = key("web");
    let first = host.wait_state(&web, "RUNNING");
    let wrong = |host: &Host, words: &str| {
        let status = host.wait(&web, words, |s| s["LastErr"].to_string().contains(words));
        assert_eq!(status["StateName"], "RUNNING");
        assert_eq!(status["DomainId"], first["DomainId"]);
    };
    put(&host, "web.cfg", "web", "type = 'qemu'\n");
    wrong(&host, "web.cfg:4: type: ");
    write(&file(&host, "web.cfg"), "name = \"web\nkernel = 1");
    wrong(&host, "web.cfg:1: ");
    // Also for an agent that has never understood it.
    host.stop();
    run(&mut host);
    wrong(&host, "web.cfg:1: ");
    fs::write(file(&host, "web.cfg"), b"name = 'web'\nkernel = '\xff'").unwrap();
    wrong(&host, "web.cfg:2: not UTF-8");
    fs::remove_file(file(&host, "web.cfg")).unwrap();
    symlink("nowhere", file(&host, "web.cfg")).unwrap();
    wrong(&host, "a symbolic link to a file that is not there");
    put(&host, "other.cfg", "other", "");
    host.wait_state(&key("other"), "RUNNING");

    // One that was never any good is shown under a key of its own, and mended in place.
    let bad = key_of_file(&file(&host, "bad.cfg")).to_string();
    write(&file(&host, "bad.cfg"), "memory = 64");
    host.wait(&bad, "its complaint", |s| {
        s["LastErr"]
            .to_string()
            .contains("bad.cfg: name: a domain needs a name")
    });
    put(&host, "bad.cfg", "good", "");
    host.wait_state(&key("good"), "RUNNING");
    host.wait_gone(&bad);

    // A path that xl would look for where it was started.
    put(&host, "rel.cfg", "rel", "ramdisk = 'initrd'\n");
    host.wait(&key("rel"), "its complaint", |s| {
        s["LastErr"]
            .to_string()
            .contains("rel.cfg: ramdisk: expected an absolute path")
    });
    put(
        &host,
        "rel.cfg",
        "rel",
        "disk = [ '/nowhere/disk,raw,xvda,rw' ]\n",
    );
    host.wait(&key("rel"), "its complaint", |s| {
        s["LastErr"]
            .to_string()
            .contains("rel.cfg: disk[0]: /nowhere/disk: ")
    });
}

#[test]
fn a_directory_that_is_not_the_one_of_before_is_no_wish() {
    let mut host = start();
    put(&host, "web.cfg", "web", "");
    let web = key("web");
    let first = host.wait_state(&web, "RUNNING");
    let stays = |host: &Host, words: &str| {
        let status = host.wait(&web, words, |s| s["LastErr"].to_string().contains(words));
        assert_eq!(status["DomainId"], first["DomainId"], "{status}");
        assert_eq!(status["StateName"], "RUNNING");
    };
    fs::rename(host.path("auto"), host.path("away")).unwrap();
    stays(&host, "the directory is gone");
    fs::create_dir(host.path("auto")).unwrap();
    stays(&host, "another one than before");
    host.stop();
    run(&mut host);
    stays(&host, "another one than before");
    fs::remove_dir(host.path("auto")).unwrap();
    fs::rename(host.path("away"), host.path("auto")).unwrap();
    host.wait(&web, "no doubt", |s| s["LastErr"] == "");
    host.stop();
    host.run(&[]);
    stays(&host, "started without --xl-dir");
    host.stop();
    fs::remove_file(file(&host, "web.cfg")).unwrap();
    run(&mut host);
    host.wait_gone(&web);
    assert_eq!(host.domains(), 0);
}

#[test]
fn one_domain_has_one_file() {
    let host = start();
    put(&host, "a.cfg", "web", "");
    let web = key("web");
    let first = host.wait_state(&web, "RUNNING");
    let second = key_of_file(&file(&host, "b.cfg")).to_string();
    put(&host, "b.cfg", "web", "");
    let status = host.wait(&second, "its complaint", |s| s["LastErr"] != "");
    let reason = status["LastErr"].as_str().unwrap();
    assert!(
        reason.contains("b.cfg: its domain, web with the uuid") && reason.ends_with("a.cfg"),
        "{reason}"
    );
    fs::remove_file(file(&host, "a.cfg")).unwrap();
    host.wait_gone(&second);
    assert_eq!(
        host.wait_state(&web, "RUNNING")["DomainId"],
        first["DomainId"]
    );

    // Of a DomainConfig and a file of xl's with one uuid, the first counts.
    put(&host, "c.cfg", "db", &format!("uuid = '{A}'\n"));
    let first = host.wait_state(A, "RUNNING");
    host.put(A, &json!({}));
    host.wait_log("has that uuid as well");
    assert_eq!(host.wait_state(A, "RUNNING")["DomainName"], "db");
    fs::remove_file(file(&host, "c.cfg")).unwrap();
    let other = host.wait(A, "the DomainConfig's", |s| {
        s["StateName"] == "RUNNING" && s["DomainName"] == "a.1"
    });
    assert_ne!(domid(&other), domid(&first));
}

#[test]
fn two_domains_do_not_get_one_disk() {
    let host = start();
    write(&host.path("disk"), "bytes");
    let disk = host.path("disk");
    let line = format!("disk = [ '{},raw,xvda,rw' ]\n", disk.display());
    put(&host, "a.cfg", "web", &line);
    host.wait_state(&key("web"), "RUNNING");
    put(&host, "b.cfg", "db", &line);
    let status = host.wait(&key("db"), "its complaint", |s| s["LastErr"] != "");
    let reason = status["LastErr"].as_str().unwrap();
    assert!(
        reason.contains("b.cfg: disk[0]: ") && reason.contains("is used by"),
        "{reason}"
    );
    host.put(
        A,
        &json!({"DiskConfigList": [{"FileLocation": disk, "Format": "raw"}]}),
    );
    let status = host.wait(A, "its complaint", |s| s["LastErr"] != "");
    assert!(
        status["LastErr"]
            .to_string()
            .contains("DiskConfigList[0].FileLocation"),
        "{status}"
    );
}

#[test]
fn a_domain_is_as_managed_as_any_other() {
    let mut host = start();
    let actions = "on_crash = 'restart'\non_poweroff = 'preserve'\n";
    put(&host, "web.cfg", "web", actions);
    let web = key("web");
    let first = host.wait_state(&web, "RUNNING");
    host.xen(&["end", "web", "3"]);
    let second = wait_other(&host, &web, &first);
    host.kill();
    run(&mut host);
    host.wait_log("domain 2 found");
    host.xen(&["end", "web", "0"]);
    let status = host.wait_state(&web, "PRESERVED");
    assert_eq!(status["DomainId"], second["DomainId"]);
}

fn words(host: &Host, line: &[&str], name: &str) -> (i32, String) {
    let out = domainmgr(line, &[&file(host, name)]);
    let all = [&out.stdout[..], &out.stderr[..]].concat();
    (out.status.code().unwrap(), crate::common::text(&all))
}

#[test]
fn a_file_can_be_checked_and_shown_before_it_counts() {
    let host = Host::new();
    fs::create_dir(host.path("auto")).unwrap();
    put(&host, "web.cfg", "web", "vcpus = 2\nunheard_of = 1\n");
    put(&host, "bad.cfg", "bad", "type = 'qemu'\n");
    put(
        &host,
        "rel.cfg",
        "rel",
        "disk = [ '/nowhere,raw,xvda,rw' ]\n",
    );
    let (code, said) = words(&host, &["check"], "web.cfg");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("web.cfg: ok: web (PV)"), "{said}");
    assert!(
        said.contains("warning: ") && said.contains("web.cfg:5: unheard_of: "),
        "{said}"
    );
    let (code, said) = words(&host, &["check"], "bad.cfg");
    assert!(code == 1 && said.contains("bad.cfg:4: type: "), "{said}");
    let (code, said) = words(&host, &["check"], "rel.cfg");
    assert!(
        code == 1 && said.contains("rel.cfg: disk[0]: /nowhere: "),
        "{said}"
    );
    let (code, said) = words(&host, &["check", "--no-files"], "rel.cfg");
    assert_eq!(code, 0, "{said}");
    // A directory of both kinds, with what does not count among them.
    write(&file(&host, "web.cfg~"), "nonsense");
    write(&file(&host, "restarted"), "restarted");
    fs::write(
        file(&host, &format!("{A}.json")),
        host.config(A, &json!({})).to_string(),
    )
    .unwrap();
    let out = domainmgr(&["check"], &[&host.path("auto")]);
    let said = crate::common::text(&out.stdout);
    assert_eq!(said.lines().count(), 2, "{said}");
    let said = crate::common::text(&out.stderr);
    assert!(
        !said.contains("web.cfg~") && !said.contains("restarted"),
        "{said}"
    );

    let (code, said) = words(&host, &["config", "--json"], "web.cfg");
    assert_eq!(code, 0, "{said}");
    let json = said.find('{').map(|at| &said[at..]).unwrap();
    let json = serde_json::Deserializer::from_str(json)
        .into_iter::<Value>()
        .next();
    let json = json.unwrap().unwrap();
    assert_eq!(json["b_info"]["max_vcpus"], 2);
    let web = file(&host, "web.cfg");
    let out = domainmgr(&["config", web.to_str().unwrap(), "vcpus=3"], &[]);
    let said = crate::common::text(&out.stdout);
    assert!(
        said.contains("\nb_info.max_vcpus = 3\n") || said.starts_with("b_info.max_vcpus = 3\n"),
        "{said}"
    );
    let (code, said) = words(&host, &["config"], "bad.cfg");
    assert!(code == 1 && said.contains("bad.cfg:4: type: "), "{said}");
    let (code, said) = words(&host, &["config"], &format!("{A}.json"));
    assert!(
        code == 0 && said.contains("c_info.name = \"a.1\""),
        "{said}"
    );
    let (code, said) = words(&host, &["config"], "none.cfg");
    assert!(code == 1 && said.contains("none.cfg"), "{said}");
}

#[test]
fn a_file_may_ask_for_nothing_and_its_domain_runs_when_somebody_starts_it() {
    let mut host = start();
    put(&host, "web.cfg", "web", "domainmgr_activate = 0\n");
    let web = key("web");
    let status = host.wait_state(&web, "INSTALLED");
    assert_eq!(
        (&status["Activate"], &status["Warnings"]),
        (&json!(false), &json!([]))
    );
    host.does(&["start", "web", "--until-reboot"]);
    host.wait_state(&web, "RUNNING");
    host.xen(&["reboot-host"]);
    host.stop();
    run(&mut host);
    host.wait_state(&web, "HALTED");
    assert_eq!(host.domains(), 0);
    put(&host, "web.cfg", "web", "domainmgr_activate = 1\n");
    host.wait_state(&web, "RUNNING");
    put(&host, "web.cfg", "web", "domainmgr_activate = 2\n");
    host.wait(&web, "the reason", |s| {
        let why = s["LastErr"].as_str().unwrap();
        why.contains("web.cfg:4: domainmgr_activate: expected 0 or 1, found 2")
    });
}
