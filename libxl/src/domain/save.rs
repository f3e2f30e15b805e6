//! Saving a domain: its memory and everything the guest knows of itself, as a stream.

use std::{
    ffi::c_int,
    fs::{self, File},
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use libxl_sys as sys;
use rustix::event::PollFlags;

use super::{
    Domain, Suspended,
    recover::{Failed, SuspendError},
};
use crate::{
    AbortHandle, Context, DomId, Error, ErrorKind, Limits, Operation, Progress, Result,
    SavedHeader,
    config::DomainType,
    limits::{Clock, Gate},
    log,
    operation::Call,
    stream::{
        Waiter,
        relay::{self, Outgoing, Pipe, Until, pipe},
    },
    wake::Bell,
};

const FUNCTION: &str = "libxl_domain_suspend";
/// How long libxl waits for a guest to answer.
const GUESTS_TIME: Duration = Duration::from_secs(60);

pub(super) type Report<'a> = Box<dyn FnMut(&Progress) + 'a>;

/// How to save a domain: live or not, with which limits, and who hears of the progress.
///
/// ```no_run
/// # fn example(domain: &libxl::Domain) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use libxl::Saving;
///
/// domain
///     .save_file(
///         "/var/lib/xen/save/web.saved",
///         Saving::new()
///             .deadline(Duration::from_secs(600))
///             .progress(|progress| println!("{progress}")),
///     )?
///     .destroy()
///     .wait()?;
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
#[must_use]
pub struct Saving<'a> {
    live: bool,
    verify: bool,
    pub(crate) limits: Limits,
    progress: Option<Report<'a>>,
}

impl std::fmt::Debug for Saving<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Saving")
            .field("live", &self.live)
            .field("verify", &self.verify)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl<'a> Saving<'a> {
    /// The guest suspends first; no limits, nobody is told of the progress.
    pub fn new() -> Self {
        Self::default()
    }

    /// The guest runs while most of its memory is copied, and suspends only for the rest
    /// (`LIBXL_SUSPEND_LIVE`). Where Xen cannot do that, which is so for PV guests if it was built
    /// without shadow paging, the guest suspends first nevertheless.
    pub fn live(mut self) -> Self {
        self.live = true;
        self
    }

    /// Sends all memory once more at the end, for the receiver to compare (`LIBXL_SUSPEND_DEBUG`).
    pub fn verify(mut self) -> Self {
        self.verify = true;
        self
    }

    /// Replaces the limits.
    pub fn limits(mut self, limits: &Limits) -> Self {
        self.limits = limits.clone();
        self
    }

    /// Gives up when it has taken this long; the domain then goes on running.
    pub fn deadline(mut self, time: Duration) -> Self {
        self.limits = self.limits.deadline(time);
        self
    }

    /// Gives up when `handle` is pulled; the domain then goes on running.
    pub fn abort_with(mut self, handle: &AbortHandle) -> Self {
        self.limits = self.limits.abort_with(handle);
        self
    }

    /// Calls `report` on the saving thread with every step forward. If it panics, the save is
    /// aborted, the domain resumed, and the panic goes on.
    pub fn progress(mut self, report: impl FnMut(&Progress) + 'a) -> Self {
        self.progress = Some(Box::new(report));
        self
    }
}

/// `libxl_domain_suspend`.
struct Stream {
    domid: DomId,
    to: OwnedFd,
    flags: c_int,
}

impl Call for Stream {
    type Output = ();

    fn function(&self) -> &'static str {
        FUNCTION
    }

    fn domain(&self) -> Option<DomId> {
        Some(self.domid)
    }

    unsafe fn start(
        &mut self,
        ctx: *mut sys::libxl_ctx,
        how: *const sys::libxl_asyncop_how,
    ) -> c_int {
        // SAFETY: context and `how` are the caller's promise; the descriptor is ours and open until
        // the operation is over.
        unsafe {
            sys::libxl_domain_suspend(ctx, self.domid.0, self.to.as_raw_fd(), self.flags, how)
        }
    }

    fn succeed(self: Box<Self>, _: &Context) -> Result<()> {
        Ok(())
    }
}

impl Domain {
    /// Suspends the guest and writes its stream, without a header, to any descriptor: a file, a
    /// pipe, a socket. What [`Context::domain_create_restore`] reads.
    ///
    /// If anything fails, the guest goes on running; see [`SuspendError`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::GuestTimedOut`] if the guest does not suspend, [`ErrorKind::NoParavirt`], those
    /// of the limits, and [`ErrorKind::Failed`] with the cause in the log.
    #[doc(alias = "libxl_domain_suspend")]
    pub fn suspend(&self, to: impl AsFd, saving: Saving<'_>) -> Result<Suspended, SuspendError> {
        let clock = Clock::start(&saving.limits);
        self.suspend_within(to, saving, &clock)
    }

    pub(crate) fn suspend_within(
        &self,
        to: impl AsFd,
        saving: Saving<'_>,
        clock: &Clock,
    ) -> Result<Suspended, SuspendError> {
        let begun = self.suspend_begins(FUNCTION, clock)?;
        let result = match clock.check(FUNCTION).and_then(|()| pipe(FUNCTION)) {
            Ok(pipe) => {
                let write = || self.write_stream(pipe, to.as_fd(), saving, clock);
                match catch_unwind(AssertUnwindSafe(write)) {
                    Ok(result) => result,
                    Err(panic) => {
                        let error = Error::new(ErrorKind::Aborted, FUNCTION)
                            .with_domain(Some(self.domid()))
                            .with_message("whoever was told of the progress has panicked");
                        let _ = begun.recover(error);
                        resume_unwind(panic);
                    }
                }
            }
            Err(error) => return Err(begun.untouched(error)),
        };
        // Success is what the state says.
        let found = result.and_then(|()| Suspended::find(self).map_err(Failed::obeyed));
        let failed = match found {
            Ok(Ok(suspended)) => return Ok(suspended),
            Ok(Err(state)) => Failed::obeyed(
                Error::new(ErrorKind::Failed, FUNCTION)
                    .with_domain(Some(self.domid()))
                    .with_message(format!("it was saved, but it is {state}")),
            ),
            Err(failed) => failed,
        };
        Err(begun.recover(failed))
    }

    /// Has libxl write the stream to our pipe, and carries it to where it is to go.
    fn write_stream(
        &self,
        pipe: Pipe,
        to: BorrowedFd<'_>,
        saving: Saving<'_>,
        clock: &Clock,
    ) -> Result<(), Failed> {
        let gate = Arc::new(Gate::default());
        let operation = self.stream_operation(pipe.writer, &saving, clock, &gate);
        self.carry_stream(operation, pipe.reader, to, clock, &gate, saving.progress)
    }

    /// Waits for an operation that writes a stream to our pipe, which is carried to where it is to
    /// go.
    pub(super) fn carry_stream(
        &self,
        operation: Operation<()>,
        from: OwnedFd,
        to: BorrowedFd<'_>,
        clock: &Clock,
        gate: &Arc<Gate>,
        report: Option<Report<'_>>,
    ) -> Result<(), Failed> {
        let function = operation.function();
        let failed = |error| Error::io(function, error).with_domain(Some(self.domid()));
        // Not the caller's limits: as long as libxl writes, it has to be read.
        let (written, over) = (Until::new(), Until::new());
        let arrived = Bell::new().map_err(failed)?;
        let waiter = Waiter::new(function, clock)?;
        let out = Outgoing::new(function, from, &written, &over)?;
        let (written, over) = (&written.handle, &over.handle);
        let begun = Instant::now();
        thread::scope(|scope| {
            let carrying = relay::spawn(function, scope, || {
                let result = out.carry(to, gate);
                arrived.ring();
                result
            })?;
            // However this ends, also by a panic, nothing may be left to carry.
            let _stop = (StopOnDrop(over), StopOnDrop(written));
            let result = match report {
                None => operation.wait(),
                Some(mut report) => operation.wait_with_progress(&mut *report),
            };
            match result {
                Ok(()) => {
                    // What is in the pipe has still to arrive. libxl has closed its end, but its
                    // children may have inherited it, which take other domains apart.
                    written.abort();
                    let arrival = waiter
                        .wait(arrived.as_fd(), PollFlags::IN)
                        .and_then(|()| join(carrying));
                    arrival.map_err(Failed::obeyed)
                }
                Err(error) => {
                    let failed = Failed::from(not_the_guest(error, begun.elapsed()));
                    over.abort();
                    written.abort();
                    // If the carrying failed first, that is the cause, and libxl only saw its end.
                    Err(match join(carrying) {
                        Err(cause) if cause.kind() == ErrorKind::Io => failed.because_of(cause),
                        _ => failed,
                    })
                }
            }
        })
    }

    fn stream_operation(
        &self,
        to: OwnedFd,
        saving: &Saving<'_>,
        clock: &Clock,
        gate: &Arc<Gate>,
    ) -> Operation<()> {
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        let live = saving.live && self.can_run_meanwhile();
        let flags =
            flag(live, sys::LIBXL_SUSPEND_LIVE) | flag(saving.verify, sys::LIBXL_SUSPEND_DEBUG);
        let domain = self.clone();
        let stream = Stream {
            domid: self.domid(),
            to,
            flags: c_int::try_from(flags).unwrap_or(0),
        };
        Operation::new(self.context(), stream)
            .limits(&clock.rest())
            .held_by(gate)
            .after(move || domain.check(FUNCTION))
    }

    /// Whether Xen can keep track of what the guest writes while its memory is copied.
    fn can_run_meanwhile(&self) -> bool {
        let is_pv = self
            .info()
            .is_ok_and(|info| info.domain_type == Some(DomainType::Pv));
        let without_shadow = || self.ctx.physinfo().is_ok_and(|host| !host.cap_shadow);
        if is_pv && without_shadow() {
            log::info!(
                "domain {}: this Xen has no shadow paging, so the guest is suspended first",
                self.id()
            );
            return false;
        }
        true
    }

    /// Saves the domain to any descriptor: a header with its configuration, then the stream. What
    /// [`Context::restore`] and `xl restore` read.
    ///
    /// On success the domain is suspended; destroy it before the saved one is restored. If anything
    /// fails, it goes on running.
    ///
    /// # Errors
    ///
    /// As [`suspend`](Self::suspend); [`ErrorKind::Io`].
    pub fn save(&self, to: impl AsFd, saving: Saving<'_>) -> Result<Suspended, SuspendError> {
        let clock = Clock::start(&saving.limits);
        let to = to.as_fd();
        let header = self
            .saved_header(&clock)
            .and_then(|header| header.write_within(to, &clock));
        match header {
            Ok(()) => self.suspend_within(to, saving, &clock),
            Err(error) => Err(SuspendError::untouched(error)),
        }
    }

    pub(crate) fn saved_header(&self, clock: &Clock) -> Result<SavedHeader> {
        let retrieve = self.retrieve_configuration().limits(&clock.rest());
        let mut config = retrieve.wait()?;
        // The number it has here means nothing where it is restored.
        config.c_info.domid = None;
        Ok(SavedHeader { config })
    }

    /// Saves the domain to a file, whole or not at all: it is written under another name, brought to
    /// the disk and then given its own, which replaces a file of that name. Only its owner can read
    /// it: it holds all the guest's memory.
    ///
    /// # Errors
    ///
    /// As [`save`](Self::save). Nothing of the file is left then; one that had the name before is
    /// replaced when all but its directory is on the disk.
    pub fn save_file(
        &self,
        path: impl AsRef<Path>,
        saving: Saving<'_>,
    ) -> Result<Suspended, SuspendError> {
        let path = path.as_ref();
        let partial = match partial_file(path) {
            Ok(file) => file,
            Err(error) => return Err(SuspendError::untouched(file_error(path, &error))),
        };
        let suspended = self.save(partial.as_file(), saving)?;
        match make_durable(partial, path) {
            Ok(()) => Ok(suspended),
            Err(error) => Err(suspended.recover(file_error(path, &error))),
        }
    }

    /// Saves the domain to a file, as [`save_file`](Self::save_file), and lets it run on: what
    /// `xl save -c` does, but the domain stays watched.
    ///
    /// # Errors
    ///
    /// As [`save_file`](Self::save_file). If only the resume fails, the file is there and the source
    /// is [`Suspended`](super::Source::Suspended).
    pub fn checkpoint(
        &self,
        path: impl AsRef<Path>,
        saving: Saving<'_>,
    ) -> Result<(), SuspendError> {
        let suspended = self.save_file(path, saving)?;
        suspended
            .go_on(|| {})
            .map_err(|error| suspended.recover(error))
    }
}

/// libxl blames the guest for whatever fails before it has suspended. But it gives it a minute.
fn not_the_guest(error: Error, took: Duration) -> Error {
    if error.kind() == ErrorKind::GuestTimedOut && took < GUESTS_TIME {
        return error
            .with_kind(ErrorKind::Failed)
            .with_message("the domain could not be saved");
    }
    error
}

/// Ends what is being carried when libxl has failed, or whoever is told of the progress has.
pub(super) struct StopOnDrop<'a>(pub(super) &'a AbortHandle);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn join(carrying: thread::ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    match carrying.join() {
        Ok(result) => result,
        Err(panic) => resume_unwind(panic),
    }
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A file beside the one that is wanted, which goes away unless it is made that one.
fn partial_file(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "is not the name of a file"))?;
    tempfile::Builder::new()
        .prefix(name)
        .suffix(".partial")
        .tempfile_in(directory(path))
}

fn make_durable(partial: tempfile::NamedTempFile, path: &Path) -> io::Result<()> {
    let directory = File::open(directory(path))?;
    partial.as_file().sync_all()?;
    partial.persist(path).map_err(|e| e.error)?;
    // Without this the name may not survive a loss of power, and then neither would the guest.
    directory.sync_all().inspect_err(|_| {
        // The guest will run on: what would be restored from the file no longer fits its disks.
        let _ = fs::remove_file(path);
    })
}

fn file_error(path: &Path, error: &io::Error) -> Error {
    let text = format!("{}: {error}", path.display());
    Error::io("save", io::Error::new(error.kind(), text))
}
