//! Waiting for xenstored at the start of a host. Without xenstored, libxl fails at once, or waits without logging anything.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// Sockets of xenstored. The second is for hosts where `/var/run` is not a link.
const SOCKETS: [&str; 2] = ["/run/xenstored/socket", "/var/run/xenstored/socket"];

/// Longest time to wait for xenstored. If xenstored has a domain of its own, it never listens in dom0.
const PATIENCE: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_secs(1);

/// Waits until xenstored listens, if this is dom0.
pub fn wait() {
    let capabilities = fs::read_to_string("/proc/xen/capabilities").unwrap_or_default();
    let hypervisor = fs::read_to_string("/sys/hypervisor/type").unwrap_or_default();
    // Elsewhere there is no xenstored to wait for, which libxl reports.
    if capabilities.contains("control_d") || (capabilities.is_empty() && hypervisor.trim() == "xen")
    {
        until(&SOCKETS.map(Path::new), PATIENCE, PAUSE);
    }
}

fn until(sockets: &[&Path], patience: Duration, pause: Duration) {
    let begin = Instant::now();
    let mut said = false;
    while !sockets.iter().any(|socket| listens(socket)) {
        if begin.elapsed() >= patience {
            log::warn!("still nothing: it may be in a domain of its own");
            return;
        }
        if !std::mem::replace(&mut said, true) {
            let words = format!(
                "waiting for xenstored: nothing listens at {}",
                sockets[0].display()
            );
            log::warn!("{words}");
            // Without a supervisor there is nobody to notify, which is no error.
            let longer = u32::try_from(2 * patience.as_micros()).unwrap_or(u32::MAX);
            let _ = sd_notify::notify(&[
                NotifyState::Status(&words),
                NotifyState::ExtendTimeoutUsec(longer),
            ]);
        }
        std::thread::sleep(pause);
    }
    if said {
        log::info!("xenstored is there");
    }
}

/// Returns true if xenstored listens.
///
/// A socket that the agent may not connect to counts, too: libxl then reports the reason.
fn listens(socket: &Path) -> bool {
    match UnixStream::connect(socket) {
        Ok(_) => true,
        Err(e) => !matches!(
            e.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn it_is_waited_for_and_not_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let short = Duration::from_millis(30);
        let begin = Instant::now();
        until(&[&socket], short, Duration::from_millis(5));
        assert!(begin.elapsed() >= short, "it may come yet");
        // A xenstored that has ended leaves its socket behind.
        drop(UnixListener::bind(&socket).unwrap());
        assert!(socket.exists() && !listens(&socket));
        fs::remove_file(&socket).unwrap();
        let later = socket.clone();
        let starts = std::thread::spawn(move || {
            std::thread::sleep(short);
            UnixListener::bind(later).unwrap()
        });
        until(
            &[&socket],
            Duration::from_secs(60),
            Duration::from_millis(5),
        );
        assert!(begin.elapsed() < Duration::from_secs(30));
        drop(starts.join().unwrap());
    }
}
