//! Checks the host's memory and disk space before anything that takes long.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Fails if the file system of `dir` has less than `mib` MiB free.
pub(crate) fn check_disk(dir: &Path, mib: u64, what: &str) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let stat =
        rustix::fs::statvfs(dir).with_context(|| format!("cannot look at {}", dir.display()))?;
    enough(
        stat.f_bavail * stat.f_frsize / (1 << 20),
        mib,
        &format!(
            "{what} takes {mib} MiB of disk space below {}",
            dir.display()
        ),
        "Free some, or name another place in LIBXL_LAB_DIR",
    )
}

/// Fails if the host has less than `mib` MiB of available memory.
pub(crate) fn check_memory(mib: u64, what: &str) -> Result<()> {
    let text = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let Some(free) = available(&text) else {
        return Ok(());
    };
    enough(
        free,
        mib,
        &format!("{what} takes {mib} MiB of memory"),
        "End something that uses much of it",
    )
}

fn enough(free: u64, mib: u64, takes: &str, advice: &str) -> Result<()> {
    if free < mib {
        bail!("{takes}, and {free} MiB are free. {advice}");
    }
    Ok(())
}

/// `MemAvailable` of /proc/meminfo, in MiB.
fn available(text: &str) -> Option<u64> {
    let kib = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let kib: u64 = kib.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let error = check_disk(Path::new("/tmp"), u64::MAX, "a lab").unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("a lab takes"), "{text}");
        assert!(text.contains("MiB are free. Free some"), "{text}");
        let error = check_memory(u64::MAX, "a lab").unwrap_err().to_string();
        assert!(error.contains("of memory, and"), "{error}");
        assert!(check_memory(1, "a lab").is_ok());
    }

    #[test]
    fn memory_is_read_from_the_kernels_words() {
        let text = "MemTotal: 1 kB\nMemAvailable:   3072000 kB\n";
        assert_eq!(available(text), Some(3000));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
    }
}
