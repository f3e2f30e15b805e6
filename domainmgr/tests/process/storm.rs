//! A storm of wishes: files change all the time, and in the end each domain is as its last file says.
//!
//! `STORM_SECONDS=600 STORM_DOMAINS=1000 cargo test -p domainmgr --test process -- storm:: --nocapture` is the large one.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::Host;
use serde_json::{Value, json};

/// Files that change in a second.
const RATE: u32 = 100;

/// Most that the memory may grow while nothing but wishes changes, in KiB: 4 MiB, and a tenth.
fn bound(settled: u64) -> u64 {
    settled + settled / 10 + (4 << 10)
}

fn number(variable: &str, default: u32) -> u32 {
    let text = std::env::var(variable).ok();
    text.map_or(default, |n| n.parse().unwrap())
}

fn key(n: u32) -> String {
    format!("aaaaaaaa-0000-4000-8000-{n:012x}")
}

/// Resident memory of the agent, in KiB.
fn resident(host: &Host) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", host.pid())).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.unwrap().split_whitespace().nth(1);
    number.unwrap().parse().unwrap()
}

/// Numbers that look random, and are the same in each run.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u32) -> u32 {
        // Knuth's MMIX generator; its high bits are the better ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        let side = (u64::from(sides) * (self.0 >> 33)) >> 31;
        u32::try_from(side).unwrap()
    }
}

/// The last wish for a domain.
#[derive(Clone)]
struct Wish {
    version: u32,
    runs: bool,
}

impl Wish {
    fn put(&self, host: &Host, n: u32) {
        let config = json!({
            "UUIDandVersion": {"UUID": key(n), "Version": self.version.to_string()},
            "AppNum": n + 1,
            "DisplayName": format!("d{n}"),
            "Activate": self.runs,
            "Memory": 65_536,
        });
        host.put(&key(n), &config);
    }

    fn is_worked_off(&self, status: &Value) -> bool {
        let state = if self.runs { "RUNNING" } else { "HALTED" };
        // A domain that was never to run has not been halted, either.
        let never = !self.runs && status["StateName"] == "INSTALLED";
        let version = &status["UUIDandVersion"]["Version"];
        (status["StateName"] == state || never)
            && version.as_str() == Some(&self.version.to_string())
            && status["PendingModify"] == false
    }
}

#[test]
fn the_last_wish_of_each_is_worked_off() {
    let domains = number("STORM_DOMAINS", 100);
    let length = Duration::from_secs(number("STORM_SECONDS", 6).into());
    let mut host = Host::new();
    host.log_level = Some("warn");
    host.run(&["--simulate-memory", &(domains * 128).to_string()]);
    let mut wishes = vec![
        Wish {
            version: 1,
            runs: true
        };
        domains as usize
    ];
    for (n, wish) in (0..).zip(&wishes) {
        wish.put(&host, n);
    }
    let worked_off = |wishes: &[Wish], host: &Host| {
        let done =
            |(n, wish): (u32, &Wish)| host.status(&key(n)).is_some_and(|s| wish.is_worked_off(&s));
        (0..).zip(wishes).filter(|pair| done(*pair)).count() == wishes.len()
    };
    host.until("all to run", || worked_off(&wishes, &host));

    let mut dice = Dice(1);
    let begin = Instant::now();
    let mut settled = None;
    let mut changes = 0;
    while begin.elapsed() < length {
        let due = begin + Duration::from_secs(1) * changes / RATE;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let n = dice.throw(domains);
        let wish = &mut wishes[n as usize];
        wish.version += 1;
        wish.runs = dice.throw(3) > 0;
        wish.put(&host, n);
        changes += 1;
        if settled.is_none() && begin.elapsed() > length / 4 {
            settled = Some(resident(&host));
        }
    }
    let (settled, now) = (settled.unwrap(), resident(&host));
    println!(
        "{domains} domains, {changes} changes in {:?}: {settled} KiB after a quarter, {now} KiB at the end",
        begin.elapsed()
    );
    assert!(now <= bound(settled), "{settled} KiB grew to {now} KiB");
    let begin = Instant::now();
    host.until("the last wishes to be worked off", || {
        worked_off(&wishes, &host)
    });
    println!(
        "all is as it should be {:?} after the last change",
        begin.elapsed()
    );
    let running = wishes.iter().filter(|wish| wish.runs).count();
    assert_eq!(host.domains(), running);
}
