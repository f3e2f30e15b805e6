//! What the libxl that is installed does not have is refused with a word on what is missing.

use libxl::{BUILT_FOR, Error, ErrorKind, OverlayOp};

use crate::support::context;

/// `Unsupported`, with the function or the feature, and the version.
#[track_caller]
pub(crate) fn is_unsupported(error: &Error, what: &str) {
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:#}");
    let text = error.to_string();
    assert!(text.contains(what) && text.contains(BUILT_FOR), "{text}");
}

/// Before Xen 4.18 and 4.19 for want of a function, afterwards because this is no Arm machine.
#[test]
fn overlays_are_for_arm() {
    let ctx = context();
    let dom0 = ctx.domain_by_domid(libxl::DomId::DOM0).unwrap();
    for op in [OverlayOp::Add, OverlayOp::Remove] {
        let error = ctx.dt_overlay(&[0; 64], op).unwrap_err();
        is_unsupported(&error, "libxl_dt_overlay");
        let error = dom0.dt_overlay(&[0; 64], op).unwrap_err();
        is_unsupported(&error, "libxl_dt_overlay_domain");
    }
}
