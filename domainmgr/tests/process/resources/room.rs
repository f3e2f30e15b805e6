//! A file system that is full at each write in turn.

use std::path::Path;

use super::namespace::{is_inside, mount};
use super::scenes::explore;
use crate::common::Host;

/// Directory that the agent writes to: its journal, the copies, and its status files.
fn place(host: &Host) -> std::path::PathBuf {
    host.path("run")
}

/// Reduces the free space of the file system to this many pages.
fn leave(place: &Path, pages: u64) {
    let found = rustix::fs::statvfs(place).unwrap();
    let used = (found.f_blocks - found.f_bfree) * found.f_frsize;
    let size = format!("remount,size={}", used + pages * found.f_frsize);
    mount(&["-o", &size], place);
}

#[test]
fn a_file_system_that_is_full_at_each_write() {
    if !is_inside("resources::room::a_file_system_that_is_full_at_each_write") {
        return;
    }
    explore("free pages", 0, 400, |scene, amount| {
        let mut host = scene.host(|host| {
            mount(&["-t", "tmpfs", "-o", "size=64m", "none"], &place(host));
        });
        leave(&place(&host), amount);
        host.run(&[]);
        let words = [
            "No space left on device",
            "database or disk is full",
            "no room for a copy",
        ];
        scene.play(host, amount, &words, |host| {
            mount(&["-o", "remount,size=64m"], &place(host));
        })
    });
}
