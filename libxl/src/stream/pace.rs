//! The pace at which a stream is forwarded.
//!
//! A network hands over a stream in pieces of a page or less. Each piece that is forwarded at once
//! costs a few system calls, which for a PV dom0 take longer than the copying of it. So a forwarder
//! that has found little waits until half a buffer has gathered, if the stream keeps its rate. A
//! stream that becomes faster meanwhile may fill the buffer, and its next piece is not little.
//!
//! After a pause of the stream nobody knows its rate. What comes then may be the last part of a
//! guest that stands still, and is forwarded at once.

use std::{
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

use rustix::{
    fs::FileType,
    net::sockopt::{socket_recv_buffer_size, socket_send_buffer_size},
    pipe::fcntl_getpipe_size,
};

use super::pages::kind;

/// The longest time to wait, which is added to the end of a stream. Only one of less than 3 MB/s is
/// waited for as long.
const LONGEST: Duration = Duration::from_millis(100);
/// The shortest: falling asleep takes about as long.
const SHORTEST: Duration = Duration::from_micros(200);
/// Time over which the rate is measured.
const MEASURED: Duration = Duration::from_millis(10);
/// Time without a piece that is a pause.
const PAUSE: Duration = Duration::from_millis(20);
/// Number of bytes that are worth forwarding, whatever the buffers hold.
const MUCH: usize = 256 << 10;
/// The smallest heap to wait for, in bytes. Buffers that hold less are often full.
const LITTLE: usize = 16 << 10;

/// Decides how long to wait for more.
pub(super) struct Pace {
    /// Number of bytes to wait for, 0 never to wait.
    heap: usize,
    since: Instant,
    /// Bytes forwarded since then.
    bytes: usize,
    /// Bytes in a second, once it is known.
    rate: Option<f64>,
    /// Time from which on the next piece is looked for.
    looked: Instant,
}

impl Pace {
    /// For a stream that begins.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            heap: 0,
            since: now,
            bytes: 0,
            rate: None,
            looked: now,
        }
    }

    /// Returns how long to wait before the next piece, after one of `bytes` bytes. `room` returns the
    /// number of bytes that the smallest buffer on the way holds; those of the network grow.
    pub(super) fn after(
        &mut self,
        bytes: usize,
        now: Instant,
        room: impl FnOnce() -> usize,
    ) -> Option<Duration> {
        let wait = self.wait_after(bytes, now, room);
        self.looked = now + wait.unwrap_or_default();
        wait
    }

    fn wait_after(
        &mut self,
        bytes: usize,
        now: Instant,
        room: impl FnOnce() -> usize,
    ) -> Option<Duration> {
        if now.saturating_duration_since(self.looked) > PAUSE {
            (self.since, self.bytes, self.rate) = (now, 0, None);
            return None;
        }
        self.bytes += bytes;
        let passed = now.saturating_duration_since(self.since);
        if passed >= MEASURED {
            self.rate = Some(self.bytes as f64 / passed.as_secs_f64());
            (self.since, self.bytes) = (now, 0);
            let heap = (room() / 2).min(MUCH);
            self.heap = if heap < LITTLE { 0 } else { heap };
        }
        // The buffer may have been full, and the stream held up by that.
        if bytes >= self.heap + self.heap / 2 {
            return None;
        }
        let wait = (self.heap as f64 / self.rate?).min(LONGEST.as_secs_f64());
        let wait = Duration::from_secs_f64(wait);
        (wait >= SHORTEST).then_some(wait)
    }
}

/// Number of bytes that the smaller buffer of two descriptors holds.
pub(super) fn room(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> usize {
    let of = |fd, of_socket: fn(BorrowedFd<'_>) -> rustix::io::Result<usize>| {
        let size = match kind(fd) {
            Some(FileType::Fifo) => fcntl_getpipe_size(fd),
            // The system counts twice as much, for its own records.
            Some(FileType::Socket) => of_socket(fd).map(|size| size / 2),
            // A file takes and gives everything at once.
            _ => Ok(usize::MAX),
        };
        size.unwrap_or(0)
    };
    of(from, |fd| socket_recv_buffer_size(fd)).min(of(to, |fd| socket_send_buffer_size(fd)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = 64 << 10;

    const PACKET: u64 = 1448;
    /// Time that it takes to forward a piece.
    const PIECE: Duration = Duration::from_micros(50);

    /// A buffer into which a stream comes.
    struct Buffer {
        /// Bytes in a second.
        rate: u64,
        waiting: u64,
        /// Time since the beginning.
        now: Duration,
    }

    impl Buffer {
        /// The sender stops while the buffer is full.
        fn pass(&mut self, time: Duration) {
            self.now += time;
            let nanos = u64::try_from(time.as_nanos()).unwrap();
            let came = self.rate * nanos / 1_000_000_000;
            self.waiting = (self.waiting + came).min(ROOM as u64);
        }

        /// Takes the packets that are complete.
        fn take(&mut self) -> u64 {
            if self.waiting < PACKET {
                let missing = PACKET - self.waiting;
                self.pass(Duration::from_nanos(
                    (missing * 1_000_000_000).div_ceil(self.rate),
                ));
            }
            let piece = self.waiting / PACKET * PACKET;
            self.waiting -= piece;
            piece
        }
    }

    /// Forwards a stream that comes at this rate for a second. Returns the number of pieces and of
    /// bytes.
    fn forwards(rate: u64) -> (u64, u64) {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        let mut buffer = Buffer {
            rate,
            waiting: 0,
            now: Duration::ZERO,
        };
        let (mut pieces, mut bytes) = (0, 0);
        while buffer.now < Duration::from_secs(1) {
            let piece = buffer.take();
            pieces += 1;
            bytes += piece;
            buffer.pass(PIECE);
            let piece = usize::try_from(piece).unwrap();
            if let Some(wait) = pace.after(piece, begin + buffer.now, || ROOM) {
                buffer.pass(wait);
            }
        }
        (pieces, bytes)
    }

    #[test]
    fn a_slow_stream_is_forwarded_in_heaps() {
        // A megabyte, which comes in 690 packets.
        let (pieces, bytes) = forwards(1_000_000);
        assert!(bytes > 980_000, "{bytes}");
        assert!(pieces < 80, "{pieces}");
    }

    #[test]
    fn a_fast_stream_is_not_slowed_down() {
        for rate in [10_000_000, 50_000_000, 200_000_000, 1_000_000_000] {
            let (_, bytes) = forwards(rate);
            assert!(bytes > rate / 10 * 9, "{bytes} of {rate}");
        }
    }

    #[test]
    fn small_buffers_are_emptied_at_once() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        for piece in 1..100 {
            let now = begin + MEASURED * piece;
            assert_eq!(pace.after(100, now, || 4096), None);
        }
    }

    #[test]
    fn what_comes_after_a_pause_is_forwarded_at_once() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        let mut now = begin + MEASURED;
        now += pace.after(100, now, || ROOM).unwrap();
        assert!(pace.after(100, now, || ROOM).is_some());
        now += LONGEST + PAUSE * 2;
        assert_eq!(pace.after(100, now, || ROOM), None);
        assert_eq!(pace.after(100, now + MEASURED / 2, || ROOM), None);
        assert!(pace.after(100, now + MEASURED, || ROOM).is_some());
    }

    #[test]
    fn nothing_is_waited_for_before_the_rate_is_known() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        assert_eq!(pace.after(100, begin + MEASURED / 2, || ROOM), None);
        assert_eq!(pace.after(100, begin + MEASURED, || ROOM), Some(LONGEST));
    }
}
