//! Errors: the function that failed, the domain, and the lines that libxl logged.

use std::{ffi::c_int, fmt, io};

use crate::{DomId, LogLine};

/// The result of most functions of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed libxl call.
///
/// `{}` is one line: the C function, the domain and the code. `{:#}` adds what libxl logged during
/// the call, which gives the cause: the codes themselves are coarse.
pub struct Error(Box<Repr>);

struct Repr {
    kind: ErrorKind,
    function: &'static str,
    code: Option<c_int>,
    domain: Option<DomId>,
    message: Option<String>,
    log: Vec<LogLine>,
    source: Option<io::Error>,
}

/// Kind of failure of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such domain (`ERROR_DOMAIN_NOTFOUND`).
    DomainNotFound,
    /// The domain ceased to exist during the operation (`ERROR_DOMAIN_DESTROYED`).
    DomainDestroyed,
    /// Something else was not found: a device, a name (`ERROR_NOTFOUND`).
    NotFound,
    /// An argument or the configuration is not acceptable (`ERROR_INVAL`).
    Invalid,
    /// Not enough memory, on the host or for libxl itself (`ERROR_NOMEM`).
    NoMemory,
    /// The guest did not answer in libxl's own time (`ERROR_GUEST_TIMEDOUT`).
    GuestTimedOut,
    /// A deadline passed: the caller's, or one of libxl's own (`ERROR_TIMEDOUT`).
    TimedOut,
    /// The guest has no paravirtualised control channel (`ERROR_NOPARAVIRT`).
    NoParavirt,
    /// The operation was aborted on request (`ERROR_ABORTED`).
    Aborted,
    /// The device exists already (`ERROR_DEVICE_EXISTS`).
    DeviceExists,
    /// A lock is held by somebody else (`ERROR_LOCK_FAIL`).
    LockFailed,
    /// This libxl, this Xen or this guest cannot do it.
    Unsupported,
    /// Xen cannot be reached: not running on Xen, not in dom0, or not root.
    NotAvailable,
    /// The operating system refused something.
    Io,
    /// Any other failure that libxl reports, mostly `ERROR_FAIL`.
    Failed,
}

/// Pairs of libxl's code, its name and the kind it belongs to; other codes are `Failed`.
const CODES: &[(c_int, &str, ErrorKind)] = &[
    (-1, "ERROR_NONSPECIFIC", ErrorKind::Failed),
    (-2, "ERROR_VERSION", ErrorKind::Unsupported),
    (-3, "ERROR_FAIL", ErrorKind::Failed),
    (-4, "ERROR_NI", ErrorKind::Unsupported),
    (-5, "ERROR_NOMEM", ErrorKind::NoMemory),
    (-6, "ERROR_INVAL", ErrorKind::Invalid),
    (-7, "ERROR_BADFAIL", ErrorKind::Failed),
    (-8, "ERROR_GUEST_TIMEDOUT", ErrorKind::GuestTimedOut),
    (-9, "ERROR_TIMEDOUT", ErrorKind::TimedOut),
    (-10, "ERROR_NOPARAVIRT", ErrorKind::NoParavirt),
    (-11, "ERROR_NOT_READY", ErrorKind::Failed),
    (-12, "ERROR_OSEVENT_REG_FAIL", ErrorKind::Failed),
    (-13, "ERROR_BUFFERFULL", ErrorKind::Failed),
    (-14, "ERROR_UNKNOWN_CHILD", ErrorKind::Failed),
    (-15, "ERROR_LOCK_FAIL", ErrorKind::LockFailed),
    (-16, "ERROR_JSON_CONFIG_EMPTY", ErrorKind::NotFound),
    (-17, "ERROR_DEVICE_EXISTS", ErrorKind::DeviceExists),
    (
        -18,
        "ERROR_CHECKPOINT_DEVOPS_DOES_NOT_MATCH",
        ErrorKind::Unsupported,
    ),
    (
        -19,
        "ERROR_CHECKPOINT_DEVICE_NOT_SUPPORTED",
        ErrorKind::Unsupported,
    ),
    (-20, "ERROR_VNUMA_CONFIG_INVALID", ErrorKind::Invalid),
    (-21, "ERROR_DOMAIN_NOTFOUND", ErrorKind::DomainNotFound),
    (-22, "ERROR_ABORTED", ErrorKind::Aborted),
    (-23, "ERROR_NOTFOUND", ErrorKind::NotFound),
    (-24, "ERROR_DOMAIN_DESTROYED", ErrorKind::DomainDestroyed),
    (-25, "ERROR_FEATURE_REMOVED", ErrorKind::Unsupported),
    (-26, "ERROR_PROTOCOL_ERROR_QMP", ErrorKind::Failed),
    (-27, "ERROR_UNKNOWN_QMP_ERROR", ErrorKind::Failed),
    (-28, "ERROR_QMP_GENERIC_ERROR", ErrorKind::Failed),
    (-29, "ERROR_QMP_COMMAND_NOT_FOUND", ErrorKind::Unsupported),
    (-30, "ERROR_QMP_DEVICE_NOT_ACTIVE", ErrorKind::Failed),
    (-31, "ERROR_QMP_DEVICE_NOT_FOUND", ErrorKind::NotFound),
    (-32, "ERROR_QEMU_API", ErrorKind::Failed),
];

impl Error {
    /// From a negative libxl code.
    pub(crate) fn from_code(function: &'static str, code: c_int) -> Self {
        let kind = CODES
            .iter()
            .find(|(c, ..)| *c == code)
            .map_or(ErrorKind::Failed, |(.., kind)| *kind);
        let mut error = Self::new(kind, function);
        error.0.code = Some(code);
        error
    }

    pub(crate) fn new(kind: ErrorKind, function: &'static str) -> Self {
        Self(Box::new(Repr {
            kind,
            function,
            code: None,
            domain: None,
            message: None,
            log: Vec::new(),
            source: None,
        }))
    }

    pub(crate) fn io(function: &'static str, source: io::Error) -> Self {
        let mut error = Self::new(ErrorKind::Io, function);
        error.0.source = Some(source);
        error
    }

    /// An error for a context whose events have stopped; see
    /// [`Context::is_poisoned`](crate::Context::is_poisoned).
    pub(crate) fn poisoned(function: &'static str) -> Self {
        Self::new(ErrorKind::NotAvailable, function)
            .with_message("libxl reported a disaster: its events can no longer be relied on")
    }

    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    pub(crate) fn with_message(mut self, message: impl Into<String>) -> Self {
        self.0.message = Some(message.into());
        self
    }

    pub(crate) fn with_domain(mut self, domain: Option<DomId>) -> Self {
        self.0.domain = domain;
        self
    }

    pub(crate) fn with_log(mut self, log: Vec<LogLine>) -> Self {
        self.0.log = log;
        self
    }

    /// Kind of the operating system's error, if it was the operating system that failed.
    pub(crate) fn io_kind(&self) -> Option<io::ErrorKind> {
        self.0.source.as_ref().map(io::Error::kind)
    }

    /// Kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The C function that failed, or that this crate refused to call.
    #[must_use]
    pub fn function(&self) -> &'static str {
        self.0.function
    }

    /// The `libxl_error` that was returned, if libxl was reached.
    #[must_use]
    pub fn raw_code(&self) -> Option<i32> {
        self.0.code
    }

    /// The domain that the error is about. After a creation that failed or was aborted half way, a
    /// domain with this id may be left and is the caller's to destroy.
    #[must_use]
    pub fn domain(&self) -> Option<DomId> {
        self.0.domain
    }

    /// Lines that libxl logged at warning level and above during the call, oldest first.
    #[must_use]
    pub fn log(&self) -> &[LogLine] {
        &self.0.log
    }

    /// Returns true if the domain is gone: not found, or destroyed during the operation.
    #[must_use]
    pub fn is_domain_gone(&self) -> bool {
        matches!(
            self.0.kind,
            ErrorKind::DomainNotFound | ErrorKind::DomainDestroyed
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Repr {
            kind,
            function,
            code,
            domain,
            message,
            log,
            source,
        } = &*self.0;
        write!(f, "{function}")?;
        if let Some(domain) = domain {
            write!(f, ", domain {domain}")?;
        }
        write!(f, ": ")?;
        match (message, source, code) {
            (Some(message), ..) => write!(f, "{message}")?,
            (None, Some(source), _) => write!(f, "{source}")?,
            (None, None, Some(code)) => write!(f, "{}", kind.describe(*code))?,
            (None, None, None) => write!(f, "{kind:?}")?,
        }
        if let Some(code) = code {
            match CODES.iter().find(|(c, ..)| c == code) {
                Some((_, name, _)) => write!(f, " ({name})")?,
                None => write!(f, " (code {code})")?,
            }
        }
        if f.alternate() {
            for line in log {
                write!(f, "; {line}")?;
            }
        }
        Ok(())
    }
}

impl ErrorKind {
    fn describe(self, code: c_int) -> String {
        match self {
            Self::DomainNotFound => "there is no such domain".into(),
            Self::DomainDestroyed => "the domain ceased to exist meanwhile".into(),
            Self::NotFound => "not found".into(),
            Self::Invalid => "an argument was refused".into(),
            Self::NoMemory => "not enough memory".into(),
            Self::GuestTimedOut => "the guest did not answer in time".into(),
            Self::TimedOut => "timed out".into(),
            Self::NoParavirt => "the guest has no paravirtualised control channel".into(),
            Self::Aborted => "aborted".into(),
            Self::DeviceExists => "the device exists already".into(),
            Self::LockFailed => "a lock is held by somebody else".into(),
            Self::Unsupported => "not supported".into(),
            Self::NotAvailable => "Xen cannot be reached".into(),
            Self::Io => "the operating system refused".into(),
            Self::Failed => format!("failed with {code}"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#}")
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|e| e as _)
    }
}

#[cfg(test)]
mod tests {
    use super::{CODES, Error, ErrorKind};
    use crate::{DomId, LogLine};

    #[test]
    fn an_error_is_one_word() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn the_table_holds_every_code_of_the_headers_once() {
        let codes: Vec<i32> = CODES.iter().map(|(code, ..)| *code).collect();
        assert_eq!(codes, (1..=32).map(|n| -n).collect::<Vec<_>>());
        for (code, name, _) in CODES {
            // SAFETY: returns a static string, or NULL for an unknown value.
            let theirs = unsafe { libxl_sys::libxl_error_to_string(libxl_sys::libxl_error(*code)) };
            assert!(!theirs.is_null(), "libxl does not know {code}");
            // SAFETY: not NULL, so a NUL-terminated literal of libxl's.
            let theirs = unsafe { std::ffi::CStr::from_ptr(theirs) }
                .to_str()
                .unwrap();
            assert_eq!(name.trim_start_matches("ERROR_").to_lowercase(), theirs);
        }
    }

    #[test]
    fn one_line_and_with_the_log() {
        let error = Error::from_code("libxl_domain_unpause", -21)
            .with_domain(Some(DomId(7)))
            .with_log(vec![LogLine::for_test("libxl", "Domain 7 not found")]);
        assert_eq!(error.kind(), ErrorKind::DomainNotFound);
        assert_eq!(
            error.to_string(),
            "libxl_domain_unpause, domain 7: there is no such domain (ERROR_DOMAIN_NOTFOUND)"
        );
        assert_eq!(
            format!("{error:#}"),
            "libxl_domain_unpause, domain 7: there is no such domain (ERROR_DOMAIN_NOTFOUND); \
             libxl: Domain 7 not found"
        );
    }

    #[test]
    fn a_code_from_the_future_is_kept() {
        let error = Error::from_code("libxl_x", -99);
        assert_eq!(error.raw_code(), Some(-99));
        assert_eq!(error.to_string(), "libxl_x: failed with -99 (code -99)");
    }
}
