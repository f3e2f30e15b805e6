//! Sets of small numbers.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A set of CPUs, NUMA nodes or features (`libxl_bitmap`).
///
/// In libxl's JSON it is the array of the numbers that are in the set. They must ascend, because libxl sizes the
/// bitmap by the last one and drops what does not fit: hence the sorted set.
///
/// libxl does not tell an empty set from one that was never set.
///
/// ```
/// use libxl::config::Bitmap;
///
/// let cpus: Bitmap = [0, 1, 2, 5].into_iter().collect();
/// assert_eq!(cpus.to_string(), "0-2,5");
/// assert_eq!(Bitmap::first(4), (0..4).collect());
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bitmap(BTreeSet<u32>);

impl Bitmap {
    /// The largest number that [`DomainConfig::validate`](super::DomainConfig::validate) lets pass. libxl allocates
    /// as many bits as the largest number asks for; Xen has far fewer CPUs and nodes than this.
    pub const MAX: u32 = 0xffff;

    /// The empty set, which libxl takes as "not set".
    pub fn new() -> Self {
        Self::default()
    }

    /// The numbers from 0 to `n - 1`: `first(2)` is the first two vCPUs.
    pub fn first(n: u32) -> Self {
        (0..n).collect()
    }

    /// Adds a number; true if it was not there.
    pub fn insert(&mut self, bit: u32) -> bool {
        self.0.insert(bit)
    }

    /// Removes a number; true if it was there.
    pub fn remove(&mut self, bit: u32) -> bool {
        self.0.remove(&bit)
    }

    /// True if the number is in the set.
    pub fn contains(&self, bit: u32) -> bool {
        self.0.contains(&bit)
    }

    /// The numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }

    /// How many numbers are in the set.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The largest number in the set.
    pub fn last(&self) -> Option<u32> {
        self.0.last().copied()
    }
}

impl FromIterator<u32> for Bitmap {
    fn from_iter<I: IntoIterator<Item = u32>>(bits: I) -> Self {
        Self(bits.into_iter().collect())
    }
}

impl Extend<u32> for Bitmap {
    fn extend<I: IntoIterator<Item = u32>>(&mut self, bits: I) {
        self.0.extend(bits);
    }
}

impl<const N: usize> From<[u32; N]> for Bitmap {
    fn from(bits: [u32; N]) -> Self {
        bits.into_iter().collect()
    }
}

/// As ranges: `0-2,5`.
impl fmt::Display for Bitmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut bits = self.0.iter().copied().peekable();
        while let Some(first) = bits.next() {
            let mut last = first;
            while let Some(next) = bits.next_if(|&bit| bit == last + 1) {
                last = next;
            }
            write!(f, "{separator}{first}")?;
            if last > first {
                write!(f, "-{last}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for Bitmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bitmap({self})")
    }
}
