//! Progress of a save or a migration.

use std::fmt;

/// A progress report of a long operation.
///
/// libxl reports every 4 MiB of guest memory or so. A live save goes through the memory several
/// times: the first iteration sends all of it, each later one sends the pages that the guest has
/// written meanwhile, and the last one runs with the guest suspended. On the receiving side libxl
/// reports little, so the received bytes are counted there: the stage is `Received 12 MiB`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Stage of the operation, as libxl names it: `Frames`, `Frames iteration 2`, `End of stream`,
    /// ...
    pub stage: String,
    /// Pages done in this iteration, or received. A page is 4 KiB.
    pub done: u64,
    /// Pages to do in this iteration; 0 for a stage that is only announced.
    pub total: u64,
}

impl Progress {
    /// A report that `bytes` of a stream have been received.
    pub(crate) fn received(bytes: u64) -> Self {
        Self {
            stage: format!("Received {} MiB", bytes >> 20),
            done: bytes >> 12,
            total: 0,
        }
    }

    /// Number of the pass of a live save through the memory, from 0; `None` outside of such a pass.
    #[must_use]
    pub fn iteration(&self) -> Option<u32> {
        let (_, number) = self.stage.split_once("iteration ")?;
        number.split(' ').next()?.parse().ok()
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.stage)?;
        if self.total > 0 {
            write!(f, ": {} of {} pages", self.done, self.total)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Progress;

    fn at(stage: &str) -> Progress {
        Progress {
            stage: stage.into(),
            done: 1024,
            total: 4096,
        }
    }

    #[test]
    fn the_iteration_is_in_the_stage() {
        assert_eq!(at("Frames iteration 0").iteration(), Some(0));
        assert_eq!(at("Frames iteration 12 of 20").iteration(), Some(12));
        assert_eq!(at("Frames").iteration(), None);
        assert_eq!(at("Frames iteration many").iteration(), None);
    }

    #[test]
    fn it_reads_as_a_line() {
        assert_eq!(at("Frames").to_string(), "Frames: 1024 of 4096 pages");
        let announced = Progress {
            total: 0,
            ..at("End of stream")
        };
        assert_eq!(announced.to_string(), "End of stream");
    }
}
