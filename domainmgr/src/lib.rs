//! The Domain Management Agent.
#![forbid(unsafe_code)]
