//! Moving pages of a stream from one descriptor to another. They are not copied on the way.

use std::os::fd::BorrowedFd;

use rustix::{
    fs::{FileType, fstat},
    io::Errno,
    pipe::{SpliceFlags, splice},
};

/// Outcome of an attempt to move pages.
pub(super) enum Pages {
    /// So many bytes have gone; none at the end of the stream.
    Moved(usize),
    /// One of the two descriptors was not ready.
    NotNow,
    /// The descriptor does not take part in this, such as a file that is open for appending.
    Refused,
}

/// Returns whether pages can be moved from a pipe to this descriptor, without the danger of blocking
/// on its other end.
///
/// A socket would block for room, whatever the flags say, before Linux 6.5.
pub(super) fn can_move_to(other: BorrowedFd<'_>) -> bool {
    matches!(
        kind(other),
        Some(FileType::Fifo | FileType::RegularFile | FileType::BlockDevice)
    )
}

/// Returns whether pages can be moved to a pipe from this descriptor, when it polls as readable.
pub(super) fn can_move_from(other: BorrowedFd<'_>) -> bool {
    can_move_to(other) || kind(other) == Some(FileType::Socket)
}

fn kind(of: BorrowedFd<'_>) -> Option<FileType> {
    let stat = fstat(of).ok()?;
    Some(FileType::from_raw_mode(stat.st_mode))
}

/// Moves at most this many bytes, without blocking on a pipe. One of the two must be a pipe.
pub(super) fn move_pages(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    most: usize,
) -> rustix::io::Result<Pages> {
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    match splice(from, None, to, None, most, flags) {
        Ok(count) => Ok(Pages::Moved(count)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(Pages::NotNow),
        Err(Errno::INVAL) => Ok(Pages::Refused),
        Err(errno) => Err(errno),
    }
}
