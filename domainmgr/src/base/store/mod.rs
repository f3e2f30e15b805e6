//! Files: reading what others write, writing what others read.

mod atomic;
mod dir;
mod lock;

pub use self::atomic::{keep, publish, remove, tidy, withdraw, write};
pub use self::dir::{
    LIMIT, Named, ReadError, Stamp, key_of, list, read, read_through, stamp, stamp_through,
};
pub use self::lock::{Claim, Lock, LockError, is_locked};
