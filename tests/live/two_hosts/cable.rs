//! The cable between the two hosts.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
};

use serde_json::Value;

/// Address at which the cable takes orders.
const CABLE: &str = "127.0.0.1:2201";

/// Gives the cable an order, and returns its state.
pub(crate) fn order(order: &str) -> String {
    let mut stream = TcpStream::connect(CABLE).unwrap();
    writeln!(stream, "{order}").unwrap();
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer).unwrap();
    assert!(!answer.contains("\"error\""), "{order}: {answer}");
    answer
}

/// Mends the cable at the end of a test, whatever has become of that.
pub(crate) struct Mended;

impl Drop for Mended {
    fn drop(&mut self) {
        if let Ok(mut stream) = TcpStream::connect(CABLE) {
            let _ = writeln!(stream, "mend");
            let mut answer = String::new();
            let _ = BufReader::new(&stream).read_line(&mut answer);
        }
    }
}

/// Returns how many bytes have gone in each direction, from alpha and from beta.
pub(crate) fn bytes() -> [u64; 2] {
    let state: Value = serde_json::from_str(&order("")).unwrap();
    ["alpha", "beta"].map(|host| state[host]["arrived_bytes"].as_u64().unwrap())
}
