//! Result of an action, as Pacemaker is told.

/// Exit codes of OCF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Code {
    /// It is done; of `monitor`: the domain runs.
    Ok = 0,
    /// It has failed. Pacemaker recovers the resource.
    Generic = 1,
    /// There is no such action.
    Unimplemented = 3,
    /// The control socket may not be used.
    Permission = 4,
    /// This node cannot run the domain. Pacemaker tries others.
    Installed = 5,
    /// The parameters are wrong, on every node.
    Configured = 6,
    /// The domain does not run.
    NotRunning = 7,
}

/// Exit code of an action, and the reason for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) code: Code,
    pub(super) reason: Option<String>,
}

impl Verdict {
    pub(super) fn new(code: Code, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: Some(reason.into()),
        }
    }

    pub(super) fn ok() -> Self {
        Self {
            code: Code::Ok,
            reason: None,
        }
    }

    /// The domain does not run, which needs no reason.
    pub(super) fn not_running() -> Self {
        Self {
            code: Code::NotRunning,
            reason: None,
        }
    }

    pub(super) fn failed(reason: impl Into<String>) -> Self {
        Self::new(Code::Generic, reason)
    }
}

/// Returns a reason with what explains it at its beginning, because Pacemaker shows its first 130 characters or so.
///
/// Of the messages of libxl the first one is the cause of the others. They say first where in libxl's source they come from.
pub(super) fn brief(reason: &str) -> String {
    let Some((what, messages)) = reason.split_once("; libxl: ") else {
        return reason.to_owned();
    };
    let first = messages.split("; libxl: ").next().unwrap_or(messages);
    let cause = match first.split_once(": ") {
        Some((place, text)) if place.contains(".c:") => text,
        _ => first,
    };
    // "Domain 5:Failed to …"
    let cause = match cause.split_once(':') {
        Some((domain, text)) if domain.starts_with("Domain ") => text,
        _ => cause,
    };
    // The call that has failed is of less interest: "boot failed: libxl_domain_create_new, domain 5: …".
    match what.split_once(": libxl_") {
        Some((step, call)) => format!("{step}: {} (libxl_{call})", cause.trim()),
        None => format!("{} ({what})", cause.trim()),
    }
}

#[cfg(test)]
mod tests {
    use super::brief;

    #[test]
    fn the_cause_comes_before_the_place_in_the_source() {
        let all = "boot failed: libxl_domain_create_new, domain 5: failed with -3 (ERROR_FAIL); libxl: \
                   libxl_dom.c:1470:libxl__domain_set_paging_mempool_size: Domain 5:Failed to set paging mempool size to 32kB: \
                   Cannot allocate memory (os error 12); libxl: libxl_create.c:1640:domcreate_rebuild_done: Domain 5:cannot \
                   (re-)build domain: -3";
        assert_eq!(
            brief(all),
            "boot failed: Failed to set paging mempool size to 32kB: Cannot allocate memory (os error 12) \
             (libxl_domain_create_new, domain 5: failed with -3 (ERROR_FAIL))"
        );
    }

    #[test]
    fn other_reasons_stay_as_they_are() {
        for reason in [
            "the cluster has no fencing",
            "boot failed: no (simulated)",
            "it was not done in the time that Pacemaker gives it; it was given up, and goes on here",
        ] {
            assert_eq!(brief(reason), reason);
        }
        let with_message = "libxl_domain_resume, domain 3: failed; libxl: xc: no such domain";
        assert_eq!(
            brief(with_message),
            "xc: no such domain (libxl_domain_resume, domain 3: failed)"
        );
    }
}
