//! From a DomainConfig to a [`Spec`]: every check that needs no file system.

mod actions;
mod boot;
mod disks;
mod domain;
mod doubts;
mod effects;
mod fields;
mod hardware;
mod memory;
mod nics;
mod processors;
mod screen;
#[cfg(test)]
mod tests;
mod texts;
mod with_host;

pub(super) use self::disks::vdev;
pub use self::domain::spec;
pub(super) use self::doubts::doubts;
pub(super) use self::effects::without_effect;
pub use self::with_host::with_host;
