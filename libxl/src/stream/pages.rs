//! Moving pages of a stream from one descriptor to another. They are not copied on the way.

use std::os::fd::BorrowedFd;

use rustix::{
    fs::{FileType, fstat},
    io::Errno,
    net::{AddressFamily, sockopt::socket_domain},
    pipe::{SpliceFlags, splice},
};

/// Moves pages, as long as the descriptors take part in that.
pub(super) struct Pages {
    can_move: bool,
}

impl Pages {
    /// For pages that go from a pipe to `to`.
    pub(super) fn to(to: BorrowedFd<'_>) -> Self {
        let can_move = can_move_to(to);
        Self { can_move }
    }

    /// For pages that go from `from` to a pipe.
    pub(super) fn from(from: BorrowedFd<'_>) -> Self {
        let can_move = can_move_from(from);
        Self { can_move }
    }

    /// Returns whether to go on moving pages. Otherwise they have to be copied.
    pub(super) fn can_move(&self) -> bool {
        self.can_move
    }

    /// Moves at most this many bytes, without blocking on a pipe. Returns how many, 0 at the end of
    /// the stream; `None` if one of the two was not ready, or takes no part in this after all, such
    /// as a file that is open for appending.
    pub(super) fn move_some(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        most: usize,
    ) -> rustix::io::Result<Option<usize>> {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        match splice(from, None, to, None, most, flags) {
            Ok(count) => Ok(Some(count)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(Errno::INVAL) => {
                self.can_move = false;
                Ok(None)
            }
            Err(errno) => Err(errno),
        }
    }
}

/// Returns whether pages can be moved from a pipe to this descriptor, without the danger of blocking
/// on its other end.
///
/// A socket would block for room, whatever the flags say, before Linux 6.5.
fn can_move_to(other: BorrowedFd<'_>) -> bool {
    matches!(
        kind(other),
        Some(FileType::Fifo | FileType::RegularFile | FileType::BlockDevice)
    )
}

/// Returns whether pages can be moved to a pipe from this descriptor, when it polls as readable.
///
/// A network delivers packets. Each would take a place in the pipe, which has few, and wake the
/// reader: in an emulated PV dom0, some 2 MB in a second took a fifth of a processor.
fn can_move_from(other: BorrowedFd<'_>) -> bool {
    can_move_to(other) || socket_domain(other) == Ok(AddressFamily::UNIX)
}

pub(super) fn kind(of: BorrowedFd<'_>) -> Option<FileType> {
    let stat = fstat(of).ok()?;
    Some(FileType::from_raw_mode(stat.st_mode))
}
