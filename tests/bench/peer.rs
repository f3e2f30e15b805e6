//! The same work as in `peer.c`, with the crate, in a process of the same kind.
//!
//! Anything else that a process holds, above all threads, makes every call to Xen slower.

use std::{
    fs,
    hint::black_box,
    io::{BufRead, stdin},
    time::Instant,
};

use libxl::{Context, DomId, DomainConfig};

/// Reads lines "WORK COUNT", repeats the work this often, and answers each line with the time it took, in
/// nanoseconds.
pub(crate) fn run(config: &str, domid: &str) {
    let config: DomainConfig = serde_json::from_str(&fs::read_to_string(config).unwrap()).unwrap();
    let ctx = Context::open().unwrap();
    let domid = DomId(domid.parse().unwrap());
    let domain = ctx.domain_by_domid(domid).unwrap();
    for line in stdin().lock().lines() {
        let line = line.unwrap();
        let (work, count) = line.split_once(' ').unwrap();
        let count: u32 = count.parse().unwrap();
        let begin = Instant::now();
        for _ in 0..count {
            match work {
                "list" => {
                    let domains = ctx.list_domains().unwrap();
                    black_box(domains.iter().map(|d| d.cpu_time_ns).sum::<u64>());
                }
                "context" => drop(Context::open().unwrap()),
                // Makes libxl's structure, and reads it back to compare.
                "config" => drop(ctx.domain_create_new(&config).unwrap()),
                "operation" => {
                    domain.pause().wait().unwrap();
                    domain.unpause().wait().unwrap();
                }
                other => panic!("{other}?"),
            }
        }
        println!("{}", begin.elapsed().as_nanos());
    }
}
