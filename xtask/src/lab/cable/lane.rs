//! One direction of the cable: decides the fate of each frame. This module reads no clock and does no I/O.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};

/// Longest time that a frame waits for a limited rate, unless no other frame waits. A frame that would wait longer is lost, as in the
/// full buffer of a switch.
const BUFFER: Duration = Duration::from_millis(250);

/// Seed of the random losses. It is fixed, so that the same traffic loses the same frames.
const SEED: u64 = 1;

/// A change of one direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Change {
    /// Loses all frames from now on, those in flight included.
    Cut,
    /// Cuts the direction once so many bytes more have arrived.
    CutAfter(u64),
    /// Removes all faults.
    Mend,
    /// Time that a frame is in flight.
    Delay(Duration),
    /// Bits per second.
    Rate(NonZeroU64),
    /// Share of the frames that are lost, in percent.
    Loss(f64),
}

/// The faults of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Faults {
    cut: bool,
    cut_after: Option<u64>,
    delay: Duration,
    rate: Option<NonZeroU64>,
    loss: f64,
}

/// The frames of one direction, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Counts {
    arrived: u64,
    bytes: u64,
    lost: u64,
}

/// A frame on its way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Flight {
    /// The time at which the frame arrives.
    pub(super) due: Instant,
    bytes: usize,
    /// Number of cuts before the frame was sent. A later cut loses the frame.
    cuts: u64,
}

/// One direction of the cable.
#[derive(Debug)]
pub(super) struct Lane {
    faults: Faults,
    counts: Counts,
    cuts: u64,
    /// The time at which the last frame has left, if the rate is limited.
    free: Option<Instant>,
    random: Rng,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            faults: Faults::default(),
            counts: Counts::default(),
            cuts: 0,
            free: None,
            random: Rng::with_seed(SEED),
        }
    }
}

impl Lane {
    /// Changes the faults, for all frames that have not arrived yet in case of a cut, and else for those that are sent from now on.
    pub(super) fn change(&mut self, change: Change) {
        match change {
            Change::Cut => {
                self.faults.cut = true;
                self.cuts += 1;
            }
            Change::CutAfter(bytes) => self.faults.cut_after = Some(bytes),
            Change::Mend => {
                self.faults = Faults::default();
                self.free = None;
            }
            Change::Delay(delay) => self.faults.delay = delay,
            Change::Rate(rate) => self.faults.rate = Some(rate),
            Change::Loss(percent) => self.faults.loss = percent,
        }
    }

    /// Sends a frame of so many bytes. Returns `None` if the frame is lost at once.
    pub(super) fn send(&mut self, now: Instant, bytes: usize) -> Option<Flight> {
        let left = if self.faults.cut || self.random.f64() * 100.0 < self.faults.loss {
            None
        } else {
            self.leave(now, bytes)
        };
        let Some(left) = left else {
            self.counts.lost += 1;
            return None;
        };
        Some(Flight {
            due: left + self.faults.delay,
            bytes,
            cuts: self.cuts,
        })
    }

    /// Returns the time at which the last bit of a frame has left at the limited rate, or `None` if the buffer is full.
    fn leave(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        let Some(rate) = self.faults.rate else {
            return Some(now);
        };
        let begin = self.free.map_or(now, |free| free.max(now));
        if begin - now > BUFFER {
            return None;
        }
        let nanoseconds = bytes as u64 * 8 * 1_000_000_000 / rate;
        let left = begin + Duration::from_nanos(nanoseconds);
        self.free = Some(left);
        Some(left)
    }

    /// Returns whether a frame arrives, when it is due.
    pub(super) fn arrives(&mut self, flight: &Flight) -> bool {
        let bytes = flight.bytes as u64;
        if self
            .faults
            .cut_after
            .is_some_and(|remaining| remaining < bytes)
        {
            self.faults.cut_after = None;
            self.change(Change::Cut);
        }
        if flight.cuts != self.cuts {
            self.counts.lost += 1;
            return false;
        }
        if let Some(remaining) = &mut self.faults.cut_after {
            *remaining -= bytes;
        }
        self.counts.arrived += 1;
        self.counts.bytes += bytes;
        true
    }

    /// The faults and the counts, for the answer to an order.
    pub(super) fn state(&self) -> Value {
        let Faults {
            cut,
            cut_after,
            delay,
            rate,
            loss,
        } = self.faults;
        let Counts {
            arrived,
            bytes,
            lost,
        } = self.counts;
        json!({
            "up": !cut,
            "cut_after_bytes": cut_after,
            "delay_ms": delay.as_secs_f64() * 1000.0,
            "rate_bits": rate,
            "loss_percent": loss,
            "arrived_frames": arrived,
            "arrived_bytes": bytes,
            "lost_frames": lost,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of the usual size.
    const FRAME: usize = 1500;

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    fn rate(bits: u64) -> Change {
        Change::Rate(NonZeroU64::new(bits).unwrap())
    }

    #[test]
    fn a_cable_without_faults_delivers_at_once() {
        let mut lane = Lane::default();
        let now = Instant::now();
        let flight = lane.send(now, FRAME).unwrap();
        assert_eq!(flight.due, now);
        assert!(lane.arrives(&flight));
        assert_eq!(lane.counts.bytes, 1500);
    }

    #[test]
    fn a_cut_loses_what_is_sent_and_what_is_in_flight() {
        let mut lane = Lane::default();
        let now = Instant::now();
        lane.change(Change::Delay(ms(50)));
        let flight = lane.send(now, FRAME).unwrap();
        assert_eq!(flight.due, now + ms(50));
        lane.change(Change::Cut);
        assert_eq!(lane.send(now, FRAME), None);
        // A frame that was in flight when the cable was cut does not come back.
        lane.change(Change::Mend);
        assert!(!lane.arrives(&flight));
        assert_eq!(lane.counts.lost, 2);
        let flight = lane.send(now, FRAME).unwrap();
        assert_eq!(flight.due, now, "mending removes the delay");
        assert!(lane.arrives(&flight));
    }

    #[test]
    fn a_cut_can_wait_for_a_number_of_bytes() {
        let mut lane = Lane::default();
        lane.change(Change::CutAfter(4000));
        let mut arrived = 0;
        for _ in 0..10 {
            let flight = lane.send(Instant::now(), FRAME);
            arrived += usize::from(flight.is_some_and(|flight| lane.arrives(&flight)));
        }
        assert_eq!(arrived, 2, "the third frame would be byte 4500");
        assert!(lane.faults.cut);
        lane.change(Change::Mend);
        let flight = lane.send(Instant::now(), FRAME).unwrap();
        assert!(lane.arrives(&flight));
    }

    #[test]
    fn a_limited_rate_sends_one_frame_after_the_other_until_its_buffer_is_full() {
        let mut lane = Lane::default();
        lane.change(rate(120_000));
        let now = Instant::now();
        // A frame of 12000 bits takes 100 ms.
        let due = |lane: &mut Lane, at| lane.send(at, FRAME).map(|flight| flight.due - now);
        assert_eq!(due(&mut lane, now), Some(ms(100)));
        assert_eq!(due(&mut lane, now), Some(ms(200)));
        assert_eq!(due(&mut lane, now), Some(ms(300)));
        assert_eq!(due(&mut lane, now), None, "it would wait for 300 ms");
        assert_eq!(due(&mut lane, now + ms(50)), Some(ms(400)));
        let idle = now + ms(1000);
        assert_eq!(due(&mut lane, idle), Some(ms(1100)));
    }

    #[test]
    fn losses_are_random_and_the_same_each_time() {
        let lost = |percent| {
            let mut lane = Lane::default();
            lane.change(Change::Loss(percent));
            (0..1000)
                .filter(|_| lane.send(Instant::now(), FRAME).is_none())
                .collect::<Vec<_>>()
        };
        assert_eq!(lost(0.0).len(), 0);
        assert_eq!(lost(100.0).len(), 1000);
        let some = lost(10.0);
        assert!((50..150).contains(&some.len()), "{}", some.len());
        assert_eq!(some, lost(10.0));
    }
}
