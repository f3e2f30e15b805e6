//! Operations on one context.

use std::time::{Duration, Instant};

use libxl::{Context, ErrorKind};

use crate::stand_in::{aborts, domain, operations_take, simulated};

#[test]
fn an_operation_ends_and_is_aborted_by_its_deadline() {
    simulated(
        "operations::an_operation_ends_and_is_aborted_by_its_deadline",
        || {
            let ctx = Context::open().unwrap();
            let domain = domain(&ctx, 3);
            for ms in [0, 20, 20] {
                operations_take(ms);
                domain.shutdown().wait().unwrap();
            }
            operations_take(-1);
            let begun = Instant::now();
            let limited = domain.shutdown().deadline(Duration::from_millis(50));
            let error = limited.wait().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:#}");
            assert!(begun.elapsed() >= Duration::from_millis(50));
            assert_eq!(aborts(), 1);
        },
    );
}
