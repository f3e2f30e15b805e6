//! The figures over HTTP, for a Prometheus that fetches them.
//!
//! Requests are served one at a time, each within a few seconds and of limited size. A client can do no more harm than delay
//! others that ask for figures.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::exposition::MEDIA_TYPE;
use crate::base::services::Services;

/// Time limit for a client to send its request, and again to receive the reply.
const PATIENCE: Duration = Duration::from_secs(5);
/// Maximum size of a request, in bytes.
const REQUEST: usize = 8 << 10;
/// Maximum number of headers in a request.
const HEADERS: usize = 32;
/// Pause after a connection that could not be accepted for lack of file descriptors.
const PAUSE: Duration = Duration::from_millis(200);

/// Answers requests at `address` with the text that `text` returns.
///
/// # Errors
/// Nothing can listen there, or the system has no thread to give.
pub fn start(
    address: SocketAddr,
    services: &Services,
    text: impl Fn() -> Result<String, String> + Send + 'static,
) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    log::info!("figures at http://{}/metrics", listener.local_addr()?);
    services.start("http", 256 << 10, move || {
        for client in listener.incoming() {
            match client {
                // An error on a connection concerns only this client.
                Ok(client) => drop(serve(client, &text)),
                Err(e) => {
                    log::warn!("figures: a connection could not be taken: {e}");
                    thread::sleep(PAUSE);
                }
            }
        }
    })
}

fn serve(mut client: TcpStream, text: impl Fn() -> Result<String, String>) -> io::Result<()> {
    let end = Instant::now() + PATIENCE;
    let (status, body) = match request(&mut client, end)? {
        Asked::Figures => match text() {
            Ok(text) => ("200 OK", text),
            Err(e) => ("500 Internal Server Error", e),
        },
        Asked::Other => ("404 Not Found", "The figures are at /metrics.\n".to_owned()),
        Asked::Wrongly => ("400 Bad Request", String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    client.set_write_timeout(Some(PATIENCE))?;
    let mut rest = [head.as_bytes(), body.as_bytes()].concat();
    let end = Instant::now() + PATIENCE;
    while !rest.is_empty() && Instant::now() < end {
        let written = client.write(&rest)?;
        rest.drain(..written);
    }
    Ok(())
}

/// Meaning of a request.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Figures,
    Other,
    Wrongly,
}

fn request(client: &mut TcpStream, end: Instant) -> io::Result<Asked> {
    let mut bytes = Vec::new();
    let mut part = [0; 1024];
    loop {
        let rest = end.saturating_duration_since(Instant::now());
        if rest.is_zero() || bytes.len() > REQUEST {
            return Ok(Asked::Wrongly);
        }
        client.set_read_timeout(Some(rest))?;
        let read = client.read(&mut part)?;
        bytes.extend_from_slice(&part[..read]);
        match understood(&bytes) {
            Some(asked) => return Ok(asked),
            None if read == 0 => return Ok(Asked::Wrongly),
            None => {}
        }
    }
}

/// Returns the meaning of a request; `None` while it is incomplete.
fn understood(bytes: &[u8]) -> Option<Asked> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Partial) => None,
        Ok(httparse::Status::Complete(_)) => {
            let path = request.path.unwrap_or_default();
            let path = path.split_once('?').map_or(path, |(path, _)| path);
            match (request.method, path) {
                (Some("GET"), "/metrics") => Some(Asked::Figures),
                _ => Some(Asked::Other),
            }
        }
        Err(_) => Some(Asked::Wrongly),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        for (text, wanted) in [
            ("GET /metr", None),
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n", None),
            (
                "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
                Some(Asked::Figures),
            ),
            ("GET /metrics?a=b HTTP/1.0\r\n\r\n", Some(Asked::Figures)),
            ("GET / HTTP/1.1\r\n\r\n", Some(Asked::Other)),
            ("POST /metrics HTTP/1.1\r\n\r\n", Some(Asked::Other)),
            ("\0\0\0\0", Some(Asked::Wrongly)),
        ] {
            assert_eq!(understood(text.as_bytes()), wanted, "{text}");
        }
        let many = "a: b\r\n".repeat(HEADERS + 1);
        let text = format!("GET /metrics HTTP/1.1\r\n{many}\r\n");
        assert_eq!(understood(text.as_bytes()), Some(Asked::Wrongly));
    }
}
