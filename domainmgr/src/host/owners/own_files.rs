//! Files of the agent's own, which no guest may have.
//!
//! A copy of an image belongs to the domain that it was made for, whether the domain runs or not. The other files belong
//! to no domain.

use std::fs;
use std::path::{Path, PathBuf};

use crate::base::dirs::Dirs;
use crate::host::disks::name;
use crate::spec::Spec;
use crate::spec::claims::Refusal;
use crate::spec::words;

/// Refuses a disk that is used in place and is a file of the agent's.
///
/// # Errors
/// The first such disk, and the owner of its file.
pub fn check(spec: &Spec, dirs: &Dirs) -> Result<(), Refusal> {
    let words = words::of(spec);
    let in_place = spec.disks.iter().enumerate();
    for (i, disk) in in_place.filter(|(_, d)| d.image.is_none() && d.seed.is_none()) {
        let Ok(path) = fs::canonicalize(&disk.path) else {
            continue;
        };
        if let Some(whose) = whose(&path, dirs) {
            return Err(Refusal {
                field: words.of_disk(i, "FileLocation"),
                reason: format!("{}: {whose}", disk.path),
                ours: false,
            });
        }
    }
    Ok(())
}

fn whose(path: &Path, dirs: &Dirs) -> Option<String> {
    let within = |dir: &Path| fs::canonicalize(dir).is_ok_and(|dir| path.starts_with(dir));
    let file = path.file_name()?.to_string_lossy();
    if let Some(key) = name::owner(&file).filter(|_| within(&dirs.copies)) {
        return Some(format!("a copy of an image that was made for {key}"));
    }
    let own: [&PathBuf; 4] = [&dirs.config, &dirs.status, &dirs.run, &dirs.state];
    // The simulation keeps its images below its run directory.
    if own.into_iter().any(|dir| within(dir)) && !within(&dirs.copies) && !within(&dirs.images) {
        return Some("a file of domainmgr itself".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Disk;

    fn spec(path: &Path) -> Spec {
        Spec {
            disks: vec![Disk {
                path: path.to_str().unwrap().to_owned(),
                ..Disk::default()
            }],
            ..Spec::default()
        }
    }

    #[test]
    fn files_of_the_agent_are_no_disks() {
        let temp = tempfile::tempdir().unwrap();
        let dir = |name: &str| {
            let dir = temp.path().join(name);
            fs::create_dir_all(&dir).unwrap();
            dir
        };
        let dirs = Dirs {
            config: dir("config"),
            xl: None,
            status: dir("run/DomainStatus"),
            run: dir("run"),
            state: dir("state"),
            dump: dir("dump"),
            copies: dir("run/img"),
            images: dir("run/verified"),
        };
        let key = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
        let copy = format!("run/img/ab-{key}.raw");
        for (name, reason) in [
            (copy.as_str(), Some(format!("made for {key}"))),
            ("run/img/notes.raw", None),
            ("run/verified/ab/disk", None),
            ("run/cloudinit.cidata", Some("of domainmgr itself".into())),
            ("state/journal.db", Some("of domainmgr itself".into())),
            ("config/a.json", Some("of domainmgr itself".into())),
            ("elsewhere", None),
        ] {
            let path = temp.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "x").unwrap();
            let link = temp.path().join("link");
            let _ = fs::remove_file(&link);
            std::os::unix::fs::symlink(&path, &link).unwrap();
            for path in [&path, &link] {
                let found = check(&spec(path), &dirs)
                    .err()
                    .map(|refusal| refusal.reason);
                match (&found, &reason) {
                    (Some(found), Some(reason)) => assert!(found.ends_with(reason), "{found}"),
                    (None, None) => {}
                    _ => panic!("{name}: {found:?}"),
                }
            }
        }
    }
}
