//! The configuration of a domain.
