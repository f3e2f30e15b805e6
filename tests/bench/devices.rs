//! Domains with a disk and a network interface: connected by the programs, by Xen's scripts, and by `xl`, which uses the scripts.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use libxl::{
    Context, DomainConfig,
    config::{Disk, Nic},
};

use crate::{
    support::{Kind, context, hotplug_programs, tiny_config, unique, xl_is_there},
    table::{Row, Table, Unit},
};

/// Domains of each figure.
const SAMPLES: usize = 15;

/// Times of the domains' coming and going.
#[derive(Debug, Default)]
struct Times {
    create: Vec<Duration>,
    destroy: Vec<Duration>,
}

pub(crate) fn run(table: &mut Table, _: usize) {
    let ctx = context();
    let image = Image::new();
    let has_xl = xl_is_there();
    let [mut ours, mut scripts, mut xl] = [(); 3].map(|()| Times::default());
    // The first of each reads files that the others find in memory.
    for round in 0..=SAMPLES {
        let mut all = vec![
            (
                &mut ours,
                of_libxl(&ctx, &image.0, Some(hotplug_programs())),
            ),
            (&mut scripts, of_libxl(&ctx, &image.0, None)),
        ];
        if has_xl {
            all.push((&mut xl, of_xl(&image.0)));
        }
        for (times, (create, destroy)) in all {
            if round > 0 {
                times.create.push(create);
                times.destroy.push(destroy);
            }
        }
    }
    let mut row = |what: &str, ours: &Vec<Duration>, name, theirs: Vec<Duration>| {
        table.add(Row {
            what: what.to_owned(),
            domains: None,
            unit: Unit::Seconds,
            ours: ours.clone().into(),
            theirs: Some((name, theirs.into())),
        });
    };
    let (create, destroy) = (
        "a domain with a disk and an interface: created",
        "a domain with a disk and an interface: destroyed",
    );
    row(create, &ours.create, "scripts", scripts.create);
    row(destroy, &ours.destroy, "scripts", scripts.destroy);
    if has_xl {
        row(create, &ours.create, "xl", xl.create);
        row(destroy, &ours.destroy, "xl", xl.destroy);
    }
}

/// An empty image, removed at the end.
struct Image(PathBuf);

impl Image {
    fn new() -> Self {
        let path = PathBuf::from(format!("/var/tmp/{}.img", unique("bench")));
        File::create(&path).unwrap().set_len(1 << 20).unwrap();
        Self(path)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn config(image: &Path, programs: Option<&Path>) -> DomainConfig {
    let script = |name: &str| programs.map(|dir| dir.join(name).display().to_string());
    let mut config = tiny_config(Kind::Pv, "devices", "");
    config.disks = vec![Disk {
        script: script("block"),
        ..Disk::raw(image.to_str().unwrap(), "xvda")
    }];
    config.nics = vec![Nic {
        script: script("vif-bridge"),
        ..Nic::bridge("xenbr0")
    }];
    config
}

/// Creates a domain that stays paused, and destroys it.
fn of_libxl(ctx: &Context, image: &Path, programs: Option<&Path>) -> (Duration, Duration) {
    let config = config(image, programs);
    let begin = Instant::now();
    let id = ctx.domain_create_new(&config).unwrap().wait().unwrap();
    let create = begin.elapsed();
    let begin = Instant::now();
    ctx.domain(id).destroy().wait().unwrap();
    (create, begin.elapsed())
}

fn of_xl(image: &Path) -> (Duration, Duration) {
    let config = config(image, None);
    let name = config.c_info.name.clone();
    let file = std::env::temp_dir().join(&name);
    let text = format!(
        "name = '{name}'\nkernel = '/share/guest/tiny'\nmemory = 4\nvcpus = 1\n\
         disk = ['{},raw,xvda,rw']\nvif = ['bridge=xenbr0']\n",
        image.display()
    );
    fs::write(&file, text).unwrap();
    let timed = |words: &[&str]| {
        let begin = Instant::now();
        let status = Command::new("xl").args(words).status().unwrap();
        assert!(status.success(), "xl {words:?}");
        begin.elapsed()
    };
    let create = timed(&["create", "-q", "-p", file.to_str().unwrap()]);
    let destroy = timed(&["destroy", &name]);
    let _ = fs::remove_file(file);
    (create, destroy)
}
