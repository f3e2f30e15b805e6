//! Others that start and stop the domains of this host.

use std::fs;
use std::path::{Path, PathBuf};

/// Says which are enabled.
pub(super) fn mention() {
    if let Some(link) = xendomains(Path::new("/")) {
        log::warn!(
            "{} enables xendomains: when the host goes down it saves or shuts down every domain, those of domainmgr as \
             well, and restores them beside it: disable it (systemctl disable xendomains)",
            link.display()
        );
    }
}

/// The link by which `xendomains` is started with the host that has its root here.
fn xendomains(root: &Path) -> Option<PathBuf> {
    let unit = root.join("etc/systemd/system/multi-user.target.wants/xendomains.service");
    if fs::symlink_metadata(&unit).is_ok() {
        return Some(unit);
    }
    // systemd makes units of the links of System V, too.
    let masked = root.join("etc/systemd/system/xendomains.service");
    if fs::read_link(masked).is_ok_and(|target| target == Path::new("/dev/null")) {
        return None;
    }
    (2..=5).find_map(|level| {
        let dir = root.join(format!("etc/rc{level}.d"));
        let links = fs::read_dir(&dir).ok()?.flatten();
        let mut names = links.filter_map(|link| link.file_name().into_string().ok());
        let name = names.find(|name| name.starts_with('S') && name.ends_with("xendomains"))?;
        Some(dir.join(name))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn xendomains_is_found_where_it_is_enabled() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(xendomains(root.path()), None);
        let level = root.path().join("etc/rc3.d");
        fs::create_dir_all(&level).unwrap();
        symlink("../init.d/xendomains", level.join("K01xendomains")).unwrap();
        assert_eq!(xendomains(root.path()), None);
        let link = level.join("S05xendomains");
        symlink("../init.d/xendomains", &link).unwrap();
        assert_eq!(xendomains(root.path()), Some(link));
        let units = root.path().join("etc/systemd/system");
        let wants = units.join("multi-user.target.wants");
        fs::create_dir_all(&wants).unwrap();
        symlink("/dev/null", units.join("xendomains.service")).unwrap();
        assert_eq!(xendomains(root.path()), None, "masked");
        let unit = wants.join("xendomains.service");
        symlink("/lib/systemd/system/xendomains.service", &unit).unwrap();
        assert_eq!(xendomains(root.path()), Some(unit));
    }
}
