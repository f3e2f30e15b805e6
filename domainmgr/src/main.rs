//! The Domain Management Agent.

fn main() {}
