//! Bytes at a place in a file.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// Reads `N` bytes at the offset `at`. Bytes behind the end of the file are zero.
pub(super) fn read_at<const N: usize>(file: &File, at: u64) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut have = 0;
    while have < N {
        match file.read_at(&mut bytes[have..], at + have as u64) {
            Ok(0) => break,
            Ok(more) => have += more,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(bytes)
}

pub(super) fn length(mut file: &File) -> Result<u64, String> {
    file.seek(SeekFrom::End(0)).map_err(|e| e.to_string())
}
