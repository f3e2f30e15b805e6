//! Too few file descriptors.

use super::scenes::explore;

#[test]
fn too_few_file_descriptors() {
    explore("file descriptors", 10, 200, |scene, amount| {
        let mut host = scene.host(|_| {});
        host.run_after(&format!("ulimit -S -n {amount}"), &[]);
        let words = ["Too many open files", "unable to open database file"];
        scene.play(host, amount, &words, |host| {
            host.lift("--nofile=1024");
        })
    });
}
