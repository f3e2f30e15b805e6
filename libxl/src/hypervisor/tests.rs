use super::{parse_cpuid_item, sys, without_a_value};
use crate::ErrorKind;

#[test]
fn parameters_without_a_value_are_told_from_others() {
    for (wrong, word) in [
        ("gnttab_max_frames", "gnttab_max_frames"),
        ("a=1 b", "b"),
        ("b a=1", "b"),
        (" \tn a=1", "n"),
        ("a=1 \tb\tc  noa=1", "b\tc"),
        ("No", "No"),
    ] {
        assert_eq!(without_a_value(wrong), Some(word), "{wrong:?}");
    }
    for right in ["", " \t ", "a=1", "=", "a=", "no", "noa", "a=1 nob  c=d\te"] {
        assert_eq!(without_a_value(right), None, "{right:?}");
    }
}

/// Under valgrind this also says that nothing behind them is read.
#[test]
fn items_of_a_cpuid_policy_that_end_early_are_refused() {
    const FUNCTION: &str = "libxl_cpuid_parse_config_xend";
    for wrong in [
        "", "1", "1:e", "1:ed", "1:edx", "1:edx=", "1:edx=xx", "1,", "1,0:e",
    ] {
        let error = parse_cpuid_item(FUNCTION, wrong, sys::libxl_cpuid_parse_config_xend)
            .err()
            .unwrap();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{wrong:?}");
    }
    for wrong in ["", "=", "family", "family=", "sse4_2=q", "=1"] {
        let error = parse_cpuid_item("f", wrong, sys::libxl_cpuid_parse_config)
            .err()
            .unwrap();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{wrong:?}");
    }
}
