//! A directory of copies that cannot be written to for a while.

use super::namespace::{is_inside, mount};
use super::scenes::Scene;
use crate::common::A;

#[test]
fn a_directory_of_copies_that_is_read_only() {
    if !is_inside("resources::read_only::a_directory_of_copies_that_is_read_only") {
        return;
    }
    for scene in Scene::ALL {
        let mut host = scene.host(|_| {});
        let copies = host.path("run/img");
        mount(&["--bind", copies.to_str().unwrap()], &copies);
        mount(&["-o", "remount,ro,bind"], &copies);
        host.run(&["--config", "timer.boot.retry:10"]);
        let file = copies.join(format!("aa-{A}.raw"));
        let why = format!("{}: Read-only file system (os error 30)", file.display());
        let words = match scene {
            Scene::Start => why,
            Scene::Stop => {
                format!("a copy that is not needed cannot be removed, next try in 5 s: {why}")
            }
            // It goes on with the disks it has.
            Scene::Reboot => "nothing".to_owned(),
            Scene::Delete => format!("a copy cannot be removed: {why}"),
        };
        let done = scene.play(host, 0, &[words.as_str()], |host| {
            if scene == Scene::Delete {
                host.wait(A, "the reason", |s| s["LastErr"] == words);
            }
            mount(&["-o", "remount,rw,bind"], &copies);
        });
        assert_eq!(done, scene == Scene::Reboot, "{scene:?}");
    }
}
