//! The agent's clock. In a simulation it may run faster than real time.

use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::time::{Now, Time};

/// A source of monotonic and of wall-clock time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    wall: OffsetDateTime,
    speed: u32,
}

impl Clock {
    /// Returns a clock that starts now and runs `speed` times as fast as real time.
    #[must_use]
    pub fn new(speed: u32) -> Self {
        Self {
            start: Instant::now(),
            wall: OffsetDateTime::now_utc(),
            speed: speed.max(1),
        }
    }

    /// Returns the current time.
    #[must_use]
    pub fn now(&self) -> Now {
        let elapsed = self.start.elapsed() * self.speed;
        Now {
            mono: Time::new(elapsed),
            wall: if self.speed == 1 {
                OffsetDateTime::now_utc()
            } else {
                self.wall + elapsed
            },
        }
    }

    /// Returns the instant in real time at which this clock reaches `at`.
    #[must_use]
    pub fn instant(&self, at: Time) -> Instant {
        self.start + self.real(at.since_start())
    }

    /// Returns the real time that `span` of this clock takes.
    #[must_use]
    pub fn real(&self, span: Duration) -> Duration {
        span / self.speed
    }

    /// Returns the speed of this clock, as a multiple of real time.
    #[must_use]
    pub fn speed(&self) -> u32 {
        self.speed
    }
}
