//! The agent's clock. In a simulation it may run faster than the world's.

use std::time::{Duration, Instant};

use time::OffsetDateTime;

use crate::core::{Now, Time};

/// Reads the time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    wall: OffsetDateTime,
    speed: u32,
}

impl Clock {
    /// A clock that starts now and runs `speed` times as fast as the world's.
    #[must_use]
    pub fn new(speed: u32) -> Self {
        Self {
            start: Instant::now(),
            wall: OffsetDateTime::now_utc(),
            speed: speed.max(1),
        }
    }

    /// The present moment.
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

    /// When the world's clock shows what this one shows at `at`.
    #[must_use]
    pub fn instant(&self, at: Time) -> Instant {
        self.start + self.real(at.since_start())
    }

    /// How long `span` of this clock takes in the world.
    #[must_use]
    pub fn real(&self, span: Duration) -> Duration {
        span / self.speed
    }

    /// How many times faster than the world's it runs.
    #[must_use]
    pub fn speed(&self) -> u32 {
        self.speed
    }
}
