//! Entry points for the fuzz targets of the repository. Only `cargo fuzz` builds this module
//! (`--cfg fuzzing`).
//!
//! The code under test reads bytes that a peer, a file or a guest has chosen.
#![allow(missing_docs, clippy::missing_panics_doc)]

use std::{
    ffi::CString,
    fs::File,
    io::{Read, Seek, Write},
    os::fd::AsFd,
    thread,
};

use libxl_sys as sys;
use rustix::fs::{MemfdFlags, memfd_create};

use crate::{
    Limits, LogLevel, SavedHeader,
    limits::{Clock, Gate},
    logger::Logger,
    migrate::hear,
    stream::{
        Wire,
        relay::{Incoming, Outgoing, Until, opening, pipe, read_opening},
    },
};

/// A file with these bytes, to be read from its start.
fn file(bytes: &[u8]) -> File {
    let fd = memfd_create("fuzz", MemfdFlags::CLOEXEC).expect("a file in memory");
    let mut file = File::from(fd);
    file.write_all(bytes).expect("it is in memory");
    file.rewind().expect("it is in memory");
    file
}

/// Reads the header of a saved domain, which a migration uses as well.
pub fn save_header(bytes: &[u8]) {
    let Ok(header) = SavedHeader::read(file(bytes), &Limits::none()) else {
        return;
    };
    let mut written = file(&[]);
    let clock = Clock::none();
    header
        .write_within(&written, &clock)
        .expect("what was read can be written");
    written.rewind().expect("it is in memory");
    let again = SavedHeader::read(&written, &Limits::none()).expect("our own output");
    assert_eq!(again, header);
}

/// Gives these bytes to both ends of a migration, as if sent by the peer.
pub fn migration(bytes: &[u8]) {
    let wire = || {
        let nowhere = File::options().write(true).open("/dev/null");
        let nowhere = nowhere.expect("/dev/null");
        Wire::new("fuzz", "the peer", file(bytes).into(), nowhere.into())
    };
    let clock = Clock::none();
    hear(&wire(), &clock);
    let target = wire();
    let _ = SavedHeader::read_within(target.reader(), &clock);
}

/// Sends a stream through the relay in both directions, and checks that it arrives unchanged.
pub fn relay(bytes: &[u8]) {
    let begins = [&opening()[..], bytes].concat();
    incoming(bytes);
    incoming(&begins);
    outgoing(bytes);
    outgoing(&begins);
}

fn incoming(bytes: &[u8]) {
    let (from, clock, over) = (file(bytes), Clock::none(), Until::new());
    let Ok(opening) = read_opening("fuzz", from.as_fd(), &clock) else {
        return;
    };
    let ours = pipe("fuzz").expect("a pipe");
    let gate = Gate::default();
    thread::scope(|scope| {
        let incoming = Incoming::new("fuzz", opening, ours.writer, &over).expect("descriptors");
        let (from, gate) = (&from, &gate);
        let carrying = scope.spawn(move || incoming.carry(from.as_fd(), gate, |_| {}));
        let mut read = Vec::new();
        File::from(ours.reader)
            .read_to_end(&mut read)
            .expect("a pipe can be read");
        assert!(read == bytes, "it is not what came");
        carrying.join().expect("no panic").expect("nothing fails");
    });
    assert!(gate.is_open());
}

fn outgoing(bytes: &[u8]) {
    let (mut to, gate) = (file(&[]), Gate::default());
    let (written, over) = (Until::new(), Until::new());
    let ours = pipe("fuzz").expect("a pipe");
    thread::scope(|scope| {
        let out = Outgoing::new("fuzz", ours.reader, &written, &over).expect("descriptors");
        let (target, gate) = (&to, &gate);
        let carrying = scope.spawn(move || out.carry(target.as_fd(), gate));
        File::from(ours.writer)
            .write_all(bytes)
            .expect("a pipe can be written");
        carrying.join().expect("no panic").expect("nothing fails");
    });
    let mut read = Vec::new();
    to.rewind().expect("it is in memory");
    to.read_to_end(&mut read).expect("it is in memory");
    assert!(read == bytes, "it is not what libxl wrote");
    assert_eq!(gate.is_open(), bytes.len() >= opening().len());
}

/// Logs lines and progress. libxl's log lines contain names and text that guests and peers have
/// chosen.
pub fn log(bytes: &[u8]) {
    let logger = Logger::new(Some(LogLevel::Trace)).expect("memory");
    let mark = logger.mark();
    for (index, text) in bytes.split(|byte| *byte == 0).enumerate() {
        let number = i32::try_from(index).unwrap_or(0);
        let text = CString::new(text).expect("it was split there");
        // SAFETY: a live logger and NUL-terminated texts.
        unsafe {
            sys::libxl_sys_log(
                logger.as_ptr(),
                // libxl's levels are 1 to 9; any other ends the process.
                1 + number % 9,
                number % 140 - 1,
                text.as_ptr(),
                text.as_ptr(),
            );
        }
        // SAFETY: as above.
        unsafe {
            sys::libxl_sys_progress(logger.as_ptr(), text.as_ptr(), text.as_ptr(), 1, 2);
        }
    }
    for line in logger.since(mark) {
        let _ = line.to_string();
    }
    logger.flush();
}
