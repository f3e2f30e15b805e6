//! Addresses of network interfaces for which none is given.

use uuid::Uuid;

/// Returns a MAC address from Xen's own range, the same whenever the domain is built.
///
/// The guest has named its interface by this address, and its network may have assigned an IP address to it.
#[must_use]
pub fn generated(key: Uuid, i: usize) -> [u8; 6] {
    let [a, b, c, ..] = Uuid::new_v5(&key, format!("vif{i}").as_bytes()).into_bytes();
    [0x00, 0x16, 0x3e, a, b, c]
}
