//! Features of the processors that a guest has seen here, and would miss there.

/// Words in which a processor counts its features, in Xen's order (`cpufeatureset.h`), and the bits that a guest may see.
///
/// The others are the host's alone, or differ between processors that are the same to a guest: temperature, performance
/// counters, virtualisation, the number of threads.
const WORDS: [(&str, u32); 7] = [
    (
        "1.EDX",
        !(1 << 21 | 1 << 22 | 1 << 27 | 1 << 28 | 1 << 29 | 1 << 31),
    ),
    (
        "1.ECX",
        !(0b1_1111 << 2
            | 1 << 7
            | 1 << 8
            | 1 << 11
            | 1 << 14
            | 1 << 15
            | 1 << 18
            | 1 << 27
            | 1 << 31),
    ),
    ("80000001.EDX", u32::MAX),
    (
        "80000001.ECX",
        1 | 0b1_1111 << 4 | 1 << 11 | 1 << 15 | 1 << 16 | 1 << 21,
    ),
    ("d[1].EAX", u32::MAX),
    ("7.EBX", !(1 << 12 | 1 << 15 | 1 << 25)),
    ("7.ECX", u32::MAX),
];

/// Returns the features that `there` lacks, in words; `None` if it has all that a guest may have seen at `here`.
pub(super) fn missing(here: &[u32], there: &[u32]) -> Option<String> {
    let words = WORDS.iter().zip(here.iter().zip(there));
    let missing: Vec<String> = words
        .filter_map(|((leaf, seen), (here, there))| {
            let missing = here & !there & seen;
            let bits: Vec<String> = (0..32)
                .filter(|bit| missing & 1 << bit != 0)
                .map(|bit| bit.to_string())
                .collect();
            (!bits.is_empty()).then(|| format!("{leaf} bit {}", bits.join(", ")))
        })
        .collect();
    (!missing.is_empty()).then(|| missing.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_features_that_a_guest_may_have_seen_count() {
        let here = [u32::MAX; 8];
        let mut there = here;
        assert_eq!(missing(&here, &there), None);
        // Hyperthreading, and virtualisation.
        there[0] &= !(1 << 28);
        there[1] &= !(1 << 5);
        assert_eq!(missing(&here, &there), None);
        // AVX, and two of AVX-512.
        there[1] &= !(1 << 28);
        there[5] &= !(1 << 16 | 1 << 17);
        let words = missing(&here, &there);
        assert_eq!(words.as_deref(), Some("1.ECX bit 28; 7.EBX bit 16, 17"));
        assert_eq!(missing(&there, &here), None, "more is no harm");
        // A host that cannot say.
        assert_eq!(missing(&here, &[]), None);
    }
}
