//! State of a key: the facts, and the parts that they are made of.

pub(in crate::core) mod adapters;
pub(in crate::core) mod backoff;
pub(in crate::core) mod boot;
pub(in crate::core) mod changing;
pub(in crate::core) mod disks;
pub(in crate::core) mod domain;
pub(in crate::core) mod exit;
pub(in crate::core) mod facts;
pub(in crate::core) mod halt;
pub(in crate::core) mod job;
pub(in crate::core) mod life;
pub(in crate::core) mod looks;
pub(in crate::core) mod moving;
pub(in crate::core) mod names;
pub(in crate::core) mod order;
pub(in crate::core) mod origin;
pub(in crate::core) mod past;
pub(in crate::core) mod phase;
pub(in crate::core) mod saved;
pub(in crate::core) mod sibling;
pub(in crate::core) mod told;
pub(in crate::core) mod ways;
pub(in crate::core) mod wish;
