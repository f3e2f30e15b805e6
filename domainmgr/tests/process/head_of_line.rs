//! A domain that copies its image, and one whose guest ignores a shutdown request, do not delay other domains.
//!
//! The image has 256 MiB, and is copied slowly; with `HEAD_OF_LINE_MIB=4096` it has 4 GiB and is copied at full speed.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::disks::{HASH, disks, wait_copying};
use crate::common::{A, B, Host};
use serde_json::json;

const C: &str = "cccccccc-0000-4000-8000-000000000003";
const D: &str = "dddddddd-0000-4000-8000-000000000004";
const ROUNDS: usize = 5;

/// Returns the times that one domain takes to start, and another to stop, both at once.
fn round(host: &Host) -> [Duration; 2] {
    host.put(D, &json!({}));
    host.wait_state(D, "RUNNING");
    let begin = Instant::now();
    host.put(C, &json!({}));
    host.put(D, &json!({"Activate": false}));
    let mut took = [Duration::ZERO; 2];
    host.until("both", || {
        for (i, (key, state)) in [(C, "RUNNING"), (D, "HALTED")].into_iter().enumerate() {
            let there = host.status(key).is_some_and(|s| s["StateName"] == state);
            if there && took[i].is_zero() {
                took[i] = begin.elapsed();
            }
        }
        took.iter().all(|t| !t.is_zero())
    });
    for key in [C, D] {
        host.remove(key);
    }
    for key in [C, D] {
        host.wait_gone(key);
    }
    took
}

/// Returns the shortest time of each: other load of the machine can only add to it.
fn best(rounds: &[[Duration; 2]]) -> [Duration; 2] {
    [0, 1].map(|i| rounds.iter().map(|r| r[i]).min().unwrap())
}

fn fill(path: &Path, mib: usize) {
    let mut file = fs::File::create(path).unwrap();
    let content: Vec<u8> = (1..=251).cycle().take(1 << 20).collect();
    for _ in 0..mib {
        file.write_all(&content).unwrap();
    }
}

#[test]
fn neither_a_copy_nor_a_stuck_shutdown_delays_another_domain() {
    let given = std::env::var("HEAD_OF_LINE_MIB").ok();
    let mib = given.as_ref().map_or(256, |m| m.parse().unwrap());
    // Status files are in memory, as /run is; images are on a disk, as /persist is.
    let mut host = Host::new();
    host.speed = 1;
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let images = disk.path().join("verified");
    fs::create_dir_all(images.join(HASH)).unwrap();
    fill(&images.join(HASH).join("disk.img"), mib);
    let mut args = vec![
        "--verified-dir".to_owned(),
        images.to_str().unwrap().to_owned(),
        "--image-dir".to_owned(),
        disk.path().join("img").to_str().unwrap().to_owned(),
    ];
    if given.is_none() {
        args.extend(["--simulate-copy-rate".to_owned(), "8000000".to_owned()]);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    host.run(&args);
    let idle: Vec<_> = (0..ROUNDS).map(|_| round(&host)).collect();

    host.put(A, &json!({"ExtraArgs": "sim.stubborn"}));
    host.wait_state(A, "RUNNING");
    host.put(A, &json!({"ExtraArgs": "sim.stubborn", "Activate": false}));
    host.wait_state(A, "HALTING");
    host.put(B, &disks(&json!({})));
    wait_copying(&host, B);
    let mut busy = Vec::new();
    while busy.len() < ROUNDS {
        let took = round(&host);
        // A round counts only if the copy and the shutdown lasted longer than it.
        let copies = host.status(B).unwrap()["StateName"] == "BOOTING";
        let hangs = host.status(A).unwrap()["StateName"] == "HALTING";
        if !(copies && hangs) {
            break;
        }
        busy.push(took);
    }
    assert!(
        !busy.is_empty(),
        "the copy was over before anything could be measured"
    );
    let (idle, busy) = (best(&idle), best(&busy));
    for (what, i) in [("start", 0), ("stop", 1)] {
        let ratio = busy[i].as_secs_f64() / idle[i].as_secs_f64();
        println!(
            "{what} beside a copy of {mib} MiB and a stuck shutdown: {:.3?}; idle: {:.3?}; ratio {ratio:.2}",
            busy[i], idle[i]
        );
        assert!(ratio < 1.3, "{what}: {ratio}");
    }
}
