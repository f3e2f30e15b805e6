//! The header of a qcow2 image, and the one change that is made to it: more room.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::bytes::read_at;

pub(super) const ENCRYPTED: &str = "the image is encrypted: decrypt it, as with qemu-img convert";

pub(super) const BACKING: &str =
    "the image is only what differs from another file: flatten it, as with qemu-img convert";

const DIRTY: u64 = 1;
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA: u64 = 1 << 2;
const COMPRESSION: u64 = 1 << 3;

/// The fields of the header that matter here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    version: u32,
    backing: u64,
    cluster_bits: u32,
    /// Size of the disk that the guest sees, in bytes.
    pub(super) size: u64,
    crypt: u32,
    l1_size: u32,
    l1_offset: u64,
    refcount_offset: u64,
    refcount_clusters: u32,
    snapshots: u32,
    incompatible: u64,
    autoclear: u64,
}

impl Header {
    pub(super) fn read(file: &File) -> Result<Self, String> {
        let bytes: [u8; 104] = read_at(file, 0).map_err(|e| e.to_string())?;
        let small = |at: usize| {
            let mut four = [0; 4];
            four.copy_from_slice(&bytes[at..at + 4]);
            u32::from_be_bytes(four)
        };
        let large = |at: usize| u64::from(small(at)) << 32 | u64::from(small(at + 4));
        let version = small(4);
        if !matches!(version, 2 | 3) {
            return Err(format!("qcow2 of version {version}, expected 2 or 3"));
        }
        let newer = version > 2;
        let header = Self {
            version,
            backing: large(8),
            cluster_bits: small(20),
            size: large(24),
            crypt: small(32),
            l1_size: small(36),
            l1_offset: large(40),
            refcount_offset: large(48),
            refcount_clusters: small(56),
            snapshots: small(60),
            incompatible: if newer { large(72) } else { 0 },
            autoclear: if newer { large(88) } else { 0 },
        };
        if !(9..=21).contains(&header.cluster_bits) {
            return Err(format!(
                "qcow2 with clusters of 2^{} bytes",
                header.cluster_bits
            ));
        }
        Ok(header)
    }

    /// Checks that an image of `length` bytes with this header is whole, is not encrypted, and needs no other file.
    pub(super) fn check(&self, length: u64) -> Result<(), String> {
        if self.backing != 0 {
            return Err(BACKING.to_owned());
        }
        if self.incompatible & EXTERNAL_DATA != 0 {
            return Err(
                "the data of the image is in another file: flatten it, as with qemu-img convert"
                    .to_owned(),
            );
        }
        if self.incompatible & CORRUPT != 0 {
            return Err("the image is marked as corrupt: qemu-img check -r all".to_owned());
        }
        if self.crypt != 0 {
            return Err(ENCRYPTED.to_owned());
        }
        let l1_end = self.l1_offset.saturating_add(u64::from(self.l1_size) * 8);
        let refcounts = u64::from(self.refcount_clusters) << self.cluster_bits;
        let refcounts_end = self.refcount_offset.saturating_add(refcounts);
        if l1_end.max(refcounts_end) > length {
            return Err(format!(
                "the image is cut off: {length} bytes, its tables end at {}: copy it again",
                l1_end.max(refcounts_end)
            ));
        }
        Ok(())
    }

    /// Returns the number of entries that the first table needs for a disk of `size` bytes.
    fn entries(&self, size: u64) -> u64 {
        let cluster = 1_u64 << self.cluster_bits;
        size.div_ceil(cluster * (cluster / 8))
    }

    /// Returns the number of entries that the first table has room for in place: a table fills whole clusters.
    fn capacity(&self) -> u64 {
        let cluster = 1_u64 << self.cluster_bits;
        (u64::from(self.l1_size) * 8).next_multiple_of(cluster) / 8
    }

    /// Enlarges the disk to `size` bytes. Nothing else about the image changes.
    pub(super) fn grow(&self, file: &File, size: u64) -> Result<(), String> {
        let by_hand = "enlarge it with qemu-img resize";
        if self.incompatible & !(DIRTY | COMPRESSION) != 0
            || self.autoclear != 0
            || self.snapshots != 0
        {
            return Err(format!(
                "an image with snapshots, bitmaps or extended tables is not enlarged: {by_hand}"
            ));
        }
        if self.incompatible & DIRTY != 0 {
            return Err(
                "an image that was not closed is not enlarged: qemu-img check -r all".to_owned(),
            );
        }
        let entries = self.entries(size);
        if self.l1_size == 0 || entries > self.capacity() {
            return Err(format!(
                "its tables have no room for {size} bytes: {by_hand}"
            ));
        }
        let fail = |e: std::io::Error| e.to_string();
        let l1_size = u64::from(self.l1_size);
        let entries = entries.max(l1_size);
        // The bytes behind the table need not be zero.
        let new = usize::try_from((entries - l1_size) * 8).unwrap_or_default();
        file.write_all_at(&vec![0; new], self.l1_offset + l1_size * 8)
            .map_err(fail)?;
        file.sync_all().map_err(fail)?;
        // One write, within one sector: the size, the kind of encryption (none), and the number of entries.
        let mut fields = [0; 16];
        fields[..8].copy_from_slice(&size.to_be_bytes());
        let entries = u32::try_from(entries).map_err(|e| e.to_string())?;
        fields[12..].copy_from_slice(&entries.to_be_bytes());
        file.write_all_at(&fields, 24).map_err(fail)?;
        file.sync_all().map_err(fail)
    }
}
