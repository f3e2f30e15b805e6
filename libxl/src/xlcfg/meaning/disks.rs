//! Disks and CD drives.

use super::reader::{Reader, Result};
use crate::{config::Disk, xlcfg::specs::parse_disk};

/// Reads the disks and CD drives, in libxlutil's syntax.
pub(super) fn disks(reader: &Reader<'_>) -> Result<Vec<Disk>> {
    const KEY: &str = "disk";
    let mut disks = Vec::new();
    for spec in reader.texts(KEY).unwrap_or_default() {
        match parse_disk(&spec) {
            Ok(disk) => disks.push(disk),
            Err(error) => {
                return reader.refuse(
                    KEY,
                    format!("{spec:?} is no disk ({error}); write \"/path,format,vdev,access\""),
                );
            }
        }
    }
    Ok(disks)
}
