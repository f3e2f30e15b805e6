//! Programs that the compiler has to refuse, because libxl would not survive them.
//!
//! Each program has a twin that differs only in the wrong line and has to compile, so that the
//! program does not fail for another reason.

/// An operation runs once.
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

/// A running operation cannot be waited for twice: its memory is gone after the first wait.
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

/// A running operation has one owner. It can move between threads, but cannot be shared.
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

/// A callback of a watch runs on the watcher's thread, so it must be `Send`.
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

/// A callback of a watch must not borrow from the code that registers it.
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

/// The progress callback of a save must not outlive what it borrows.
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

/// A descriptor to which a console writes must stay open.
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

/// A suspended domain is destroyed or resumed, not both.
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

/// The source of a migration sends GO only when the receiver has everything.
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

/// The source of a migration sends GO only once.
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

/// The receiver starts the guest after GO, and waits for GO once it has everything.
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

/// Continuing in a forked child without an exec needs a promise, and therefore `unsafe`.
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

/// Events are an open set: a newer libxl may report unknown events, and a guest any number.
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
