//! The messages of the migration protocol of `xl` (tools/xl/xl.h and xl_migrate.c). All but the
//! banner are sent with their NUL.

pub(super) const BANNER: &[u8] = b"xl migration receiver ready, send binary domain data.\n";
pub(super) const READY: &[u8] = b"domain received, ready to unpause\0";
/// Permission to start the guest, from the source; from the target, permission to resume it.
pub(super) const GO: &[u8] = b"domain is yours, you are cleared to unpause\0";
/// Followed by one byte: 0, or the code of the failure to start the guest.
pub(super) const REPORT: &[u8] = b"my copy unpause results are as follows\0";
