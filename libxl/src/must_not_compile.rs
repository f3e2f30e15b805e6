//! Programs that the compiler has to refuse, because libxl would not survive them.
//!
//! Each comes with its twin, which differs in the line that is wrong and has to compile: so the one
//! does not fail for another reason.

/// An operation is done once.
///
/// ```no_run
/// fn twice(operation: libxl::Operation<()>, other: libxl::Operation<()>) {
///     let _ = operation.wait();
///     let _ = other.wait();
/// }
/// ```
/// ```compile_fail,E0382
/// fn twice(operation: libxl::Operation<()>, other: libxl::Operation<()>) {
///     let _ = operation.wait();
///     let _ = operation.wait();
/// }
/// ```
mod operation_after_wait {}

/// Nor is one that is under way waited for twice: its memory is gone with the first time.
///
/// ```no_run
/// fn twice(running: libxl::Running<()>) {
///     let _ = running.wait();
/// }
/// ```
/// ```compile_fail,E0382
/// fn twice(running: libxl::Running<()>) {
///     let _ = running.wait();
///     drop(running);
/// }
/// ```
mod running_after_wait {}

/// An operation under way has one owner. It goes from thread to thread, and is not shared.
///
/// ```no_run
/// fn start(running: libxl::Running<()>) {
///     std::thread::spawn(move || running.wait());
/// }
/// ```
/// ```compile_fail,E0277
/// fn start(running: libxl::Running<()>) {
///     let running = std::sync::Arc::new(running);
///     std::thread::spawn(move || drop(running));
/// }
/// ```
mod shared_operation {}

/// What is called on the watcher's thread must be able to go there ...
///
/// ```no_run
/// fn watch(watcher: &libxl::Watcher, id: libxl::DomainId) {
///     let seen = std::sync::Arc::new(std::sync::Mutex::new(0));
///     let _ = watcher.watch(id, move |_| *seen.lock().unwrap() += 1);
/// }
/// ```
/// ```compile_fail,E0277
/// fn watch(watcher: &libxl::Watcher, id: libxl::DomainId) {
///     let seen = std::rc::Rc::new(std::sync::Mutex::new(0));
///     let _ = watcher.watch(id, move |_| *seen.lock().unwrap() += 1);
/// }
/// ```
mod sink_of_one_thread {}

/// ... and must not borrow from whoever watches.
///
/// ```no_run
/// fn watch(watcher: &libxl::Watcher, id: libxl::DomainId) {
///     static SEEN: std::sync::Mutex<u32> = std::sync::Mutex::new(0);
///     let seen = &SEEN;
///     let _ = watcher.watch(id, move |_| *seen.lock().unwrap() += 1);
/// }
/// ```
/// ```compile_fail,E0597
/// fn watch(watcher: &libxl::Watcher, id: libxl::DomainId) {
///     let own = std::sync::Mutex::new(0);
///     let seen = &own;
///     let _ = watcher.watch(id, move |_| *seen.lock().unwrap() += 1);
/// }
/// ```
mod sink_that_borrows {}

/// Who is told of the progress of a save has to be there until it is over.
///
/// ```no_run
/// fn save(domain: &libxl::Domain, file: &std::fs::File) {
///     let mut steps = 0;
///     let saving = libxl::Saving::new().progress(|_| steps += 1);
///     let _ = domain.save(file, saving);
/// }
/// ```
/// ```compile_fail,E0597
/// fn save(domain: &libxl::Domain, file: &std::fs::File) {
///     let saving = {
///         let mut steps = 0;
///         libxl::Saving::new().progress(|_| steps += 1)
///     };
///     let _ = domain.save(file, saving);
/// }
/// ```
mod progress_after_its_owner {}

/// A descriptor that a console is to write to has to be open.
///
/// ```no_run
/// use std::os::fd::AsFd;
/// fn attach(file: std::fs::File) {
///     let options = libxl::console::ConsoleOptions::new().notify(file.as_fd());
///     println!("{options:?}");
/// }
/// ```
/// ```compile_fail,E0505
/// use std::os::fd::AsFd;
/// fn attach(file: std::fs::File) {
///     let options = libxl::console::ConsoleOptions::new().notify(file.as_fd());
///     drop(file);
///     println!("{options:?}");
/// }
/// ```
mod descriptor_after_its_owner {}

/// A suspended domain goes on here or elsewhere, and not both.
///
/// ```no_run
/// fn both(suspended: libxl::Suspended) {
///     let _ = suspended.destroy();
/// }
/// ```
/// ```compile_fail,E0382
/// fn both(suspended: libxl::Suspended) {
///     let _ = suspended.destroy();
///     let _ = suspended.resume();
/// }
/// ```
mod resumed_and_destroyed {}

/// The source of a migration says GO when the receiver has everything, not before ...
///
/// ```no_run
/// fn go(sender: libxl::migrate::Sender) {
///     let _ = sender.send(|_| ()).unwrap().commit();
/// }
/// ```
/// ```compile_fail,E0599
/// fn go(sender: libxl::migrate::Sender) {
///     let _ = sender.commit();
/// }
/// ```
mod go_before_the_stream {}

/// ... and says it once.
///
/// ```no_run
/// fn go(sent: libxl::migrate::Sent) {
///     let _ = sent.commit();
/// }
/// ```
/// ```compile_fail,E0382
/// fn go(sent: libxl::migrate::Sent) {
///     let _ = sent.commit();
///     let _ = sent.commit();
/// }
/// ```
mod go_twice {}

/// The receiver starts the guest after GO, which it waits for once it has everything.
///
/// ```no_run
/// fn start(receiver: libxl::migrate::Receiver, limits: &libxl::Limits) {
///     let _ = receiver.receive(|_| ()).unwrap().start(limits);
/// }
/// ```
/// ```compile_fail,E0599
/// fn start(receiver: libxl::migrate::Receiver, limits: &libxl::Limits) {
///     let _ = receiver.start(limits);
/// }
/// ```
mod start_before_the_stream {}

/// A forked child that goes on without an exec is for those who know what they promise.
///
/// ```no_run
/// fn in_the_child(ctx: libxl::Context) {
///     // SAFETY: none; this is not run.
///     unsafe { ctx.postfork_child_noexec() };
/// }
/// ```
/// ```compile_fail,E0133
/// fn in_the_child(ctx: libxl::Context) {
///     ctx.postfork_child_noexec();
/// }
/// ```
mod fork_without_a_promise {}

/// A newer libxl may report what nobody has heard of yet, and a guest any number.
///
/// ```no_run
/// fn tell(event: libxl::DomainEvent) {
///     match event {
///         libxl::DomainEvent::Shutdown(_) | libxl::DomainEvent::Resumed => {}
///         libxl::DomainEvent::Death => {}
///         _ => {}
///     }
/// }
/// ```
/// ```compile_fail,E0004
/// fn tell(event: libxl::DomainEvent) {
///     match event {
///         libxl::DomainEvent::Shutdown(_) | libxl::DomainEvent::Resumed => {}
///         libxl::DomainEvent::Death => {}
///     }
/// }
/// ```
mod events_are_open {}
