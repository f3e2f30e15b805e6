//! Sets of small numbers.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A set of CPUs, NUMA nodes or features (`libxl_bitmap`).
///
/// libxl's JSON form is the array of the numbers in the set. The numbers must ascend, because libxl sizes the bitmap
/// by the last number and drops the numbers that do not fit. A sorted set ensures the order.
///
/// libxl does not distinguish an empty set from a field that was never set.
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
    /// The largest number that [`DomainConfig::validate`](super::DomainConfig::validate) accepts.
    ///
    /// libxl allocates as many bits as the largest number requires. Xen has far fewer CPUs and nodes than this.
    pub const MAX: u32 = 0xffff;

    /// Creates an empty set, which libxl treats as "not set".
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates the set of the numbers from 0 to `n - 1`: `first(2)` is the first two vCPUs.
    pub fn first(n: u32) -> Self {
        (0..n).collect()
    }

    /// Adds a number. Returns true if the set did not contain the number.
    pub fn insert(&mut self, bit: u32) -> bool {
        self.0.insert(bit)
    }

    /// Removes a number. Returns true if the set contained the number.
    pub fn remove(&mut self, bit: u32) -> bool {
        self.0.remove(&bit)
    }

    /// Returns true if the set contains the number.
    pub fn contains(&self, bit: u32) -> bool {
        self.0.contains(&bit)
    }

    /// Returns the numbers in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }

    /// Returns the number of elements in the set.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the largest number in the set, or `None` if the set is empty.
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

/// Prints the numbers as ranges: `0-2,5`.
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
