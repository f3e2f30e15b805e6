//! Memory, and the limits that cost memory.

use super::ctext::cut_u32;
use super::reader::{Reader, Result};
use crate::config::BuildInfo;

/// Reads the memory, and the limits that cost memory. The limit `maxmem` follows `memory` later,
/// because vNUMA may set it.
pub(super) fn read(reader: &Reader<'_>, b_info: &mut BuildInfo) -> Result<()> {
    b_info.target_memkb = reader.mebibytes("memory");
    b_info.max_memkb = reader.mebibytes("maxmem");
    b_info.shadow_memkb = reader.mebibytes("shadow_memory");
    b_info.video_memkb = reader.mebibytes("videoram");
    b_info.event_channels = reader.cut_unsigned("max_event_channels");
    let or = |key, default| Ok(reader.limit(key)?.or(default));
    b_info.max_grant_frames = or("max_grant_frames", reader.xl_conf.max_grant_frames)?;
    b_info.max_maptrack_frames = or("max_maptrack_frames", reader.xl_conf.max_maptrack_frames)?;
    if reader.release.has(16) {
        b_info.max_grant_version = or("max_grant_version", reader.xl_conf.max_grant_version)?;
    }
    if let Some(size) = reader
        .quiet_number("vmtrace_buf_kb")
        .filter(|&size| size != 0)
    {
        b_info.vmtrace_buf_kb = Some(cut_u32(size));
    }
    Ok(())
}
