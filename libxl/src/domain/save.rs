//! Saving a domain as a stream: its memory and everything that the guest knows about itself.

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
    handle::Domain,
    recover::{Failed, SuspendError},
    suspended::Suspended,
};
use crate::{
    AbortHandle, Context, DomId, Error, ErrorKind, Limits, Operation, Progress, Result,
    SavedHeader,
    config::DomainType,
    limits::{Clock, Gate},
    log,
    operation::Call,
    stream::{
        Silence, Waiter,
        relay::{self, Outgoing, Pipe, Until, pipe},
    },
    wake::Bell,
    xenstore_socket,
};

const FUNCTION: &str = "libxl_domain_suspend";
/// Time for which libxl waits for a guest to answer.
const GUESTS_TIME: Duration = Duration::from_secs(60);

pub(super) type Report<'a> = Box<dyn FnMut(&Progress) + 'a>;

/// Options for saving a domain: live or not, its limits, and a callback for progress.
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
    /// Options without limits or progress reports; the guest suspends first.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the guest run while most of its memory is copied, and suspends it only for the rest
    /// (`LIBXL_SUSPEND_LIVE`).
    ///
    /// If Xen cannot do that, the guest suspends first nevertheless. This concerns PV guests on a
    /// Xen built without shadow paging.
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

    /// Gives up when the save has taken this long; the domain then goes on running.
    pub fn deadline(mut self, time: Duration) -> Self {
        self.limits = self.limits.deadline(time);
        self
    }

    /// Gives up when `handle` is pulled; the domain then goes on running.
    pub fn abort_with(mut self, handle: &AbortHandle) -> Self {
        self.limits = self.limits.abort_with(handle);
        self
    }

    /// Calls `report` on the saving thread with every step forward. If `report` panics, the save is
    /// aborted, the domain is resumed, and the panic goes on.
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
        let _turn = xenstore_socket::turn();
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
    /// pipe, a socket.
    ///
    /// [`Context::domain_create_restore`] reads the stream. If anything fails, the guest goes on
    /// running; see [`SuspendError`].
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
        // Only the state of the domain shows success.
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

    /// Has libxl write the stream to our pipe, and forwards it to `to`.
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

    /// Waits for an operation that writes a stream to our pipe, and forwards the stream to `to`.
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
        // Not the caller's limits: the pipe has to be read for as long as libxl writes.
        let (written, over) = (Until::new(), Until::new());
        let arrived = Bell::new().map_err(failed)?;
        let waiter = Waiter::new(function, clock)?;
        // A guest that runs does not suffer.
        let runs = || !self.info().is_ok_and(|info| info.shutdown_reason.is_some());
        let silence = Silence::of(clock, &runs);
        let out = Outgoing::new(function, from, &written, &over)?.allowing(silence);
        let (written, over) = (&written.handle, &over.handle);
        let begun = Instant::now();
        thread::scope(|scope| {
            let carrying = relay::spawn(function, scope, || {
                let result = out.carry(to, gate);
                arrived.ring();
                result
            })?;
            // However this ends, also by a panic, the forwarding must stop.
            let _stop = (StopOnDrop(over), StopOnDrop(written));
            let result = match report {
                None => operation.wait(),
                Some(mut report) => operation.wait_with_progress(&mut *report),
            };
            match result {
                Ok(()) => {
                    // The data in the pipe has still to arrive. libxl has closed its end, but
                    // children of libxl that destroy other domains may have inherited it.
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
                    // If the forwarding failed first, its error is the cause, and libxl only saw
                    // its end.
                    Err(match join(carrying) {
                        Err(cause) if is_of_the_other_end(&cause) => failed.because_of(cause),
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

    /// Returns true if Xen can track the guest's writes while its memory is copied.
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

    /// Saves the domain to any descriptor: a header with its configuration, then the stream.
    ///
    /// [`Context::restore`] and `xl restore` read the result. On success the domain is suspended;
    /// destroy it before the saved one is restored. If anything fails, the domain goes on running.
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
        // The domid means nothing where the domain is restored.
        config.c_info.domid = None;
        Ok(SavedHeader { config })
    }

    /// Saves the domain to a file, completely or not at all.
    ///
    /// The file is written under another name, synced to the disk and then renamed, which replaces
    /// a file of that name. Only its owner can read the file, because it holds all the guest's
    /// memory.
    ///
    /// # Errors
    ///
    /// As [`save`](Self::save). No part of the file is left then. An earlier file of that name is
    /// replaced once everything but the directory is on the disk.
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

    /// Saves the domain to a file, as [`save_file`](Self::save_file) does, and lets it run on.
    ///
    /// `xl save -c` does the same, but here the domain stays watched.
    ///
    /// # Errors
    ///
    /// As [`save_file`](Self::save_file). If only the resume fails, the file exists and the source
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

/// Corrects an error that libxl attributes to the guest.
///
/// libxl blames the guest for any failure before it has suspended, but gives the guest a minute to
/// answer.
fn not_the_guest(error: Error, took: Duration) -> Error {
    if error.kind() == ErrorKind::GuestTimedOut && took < GUESTS_TIME {
        return error
            .with_kind(ErrorKind::Failed)
            .with_message("the domain could not be saved");
    }
    error
}

/// Returns true for a failure to forward, and false if the forwarding was only ended.
fn is_of_the_other_end(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Io | ErrorKind::TimedOut)
}

/// Ends the forwarding when libxl has failed, or the progress callback has panicked.
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

/// Creates a file beside `path`, which is removed unless it is renamed to `path`.
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
    // Without this the name, and with it the guest, may not survive a loss of power.
    directory.sync_all().inspect_err(|_| {
        // The guest will run on, so the file no longer fits its disks.
        let _ = fs::remove_file(path);
    })
}

fn file_error(path: &Path, error: &io::Error) -> Error {
    let text = format!("{}: {error}", path.display());
    Error::io("save", io::Error::new(error.kind(), text))
}
