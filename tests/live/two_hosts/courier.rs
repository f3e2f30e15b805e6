//! Commands for the other host without encryption, which takes most of the time of a migration under emulation.
//!
//! A courier listens on each host. It runs the line that comes first on a connection, with the connection as its standard input and output.

use std::{
    fs,
    net::{TcpStream, ToSocketAddrs},
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::beta::OutOfBand;
use crate::support::wait_for;

const PORT: u16 = 2300;
/// Time for a connection over the cable.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs what the connection asks for. The shell inherits ignored SIGCHLDs from busybox, which xl could not work with.
const SERVE: &str = "#!/bin/sh\nread -r line\nexec env --default-signal=CHLD sh -c \"$line\"\n";
/// In the place of ssh: takes a host, with a port if it is another one, and a line. All of it ends with the connection.
const SEND: &str = r#"#!/usr/bin/perl
use Socket;
my ($host, $port) = split /:/, shift;
socket(my $far, PF_INET, SOCK_STREAM, 0) or die $!;
connect($far, sockaddr_in($port || 2300, inet_aton($host))) or die "$host: $!\n";
sub copy {
    my ($from, $to) = @_;
    while (sysread($from, my $bytes, 65536)) {
        for (my $at = 0; $at < length $bytes;) {
            $at += syswrite($to, $bytes, length($bytes) - $at, $at) // exit 1;
        }
    }
}
syswrite($far, "@ARGV\n");
my $there = fork // die $!;
if (!$there) {
    copy(\*STDIN, $far);
    shutdown($far, 1);
    exit 0;
}
copy($far, \*STDOUT);
kill 9, $there;
"#;

/// Path of a script in the directory that both hosts share.
fn script(name: &str) -> String {
    format!("/share/bin/{name}")
}

/// Couriers on both hosts.
pub(crate) struct Couriers(Child);

impl Couriers {
    pub(crate) fn start(there: &OutOfBand) -> Self {
        for (name, text) in [("courier", SERVE), ("courier-to", SEND)] {
            let path = script(name);
            // A file that is being run must not be written to.
            let new = format!("{path}.new");
            fs::write(&new, text).unwrap();
            fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
            fs::rename(&new, &path).unwrap();
        }
        let serve = format!("busybox nc -ll -p {PORT} -e {}", script("courier"));
        there.shell(&format!("{serve} </dev/null >/dev/null 2>&1 &"));
        let here = Command::new("sh")
            .args(["-c", &format!("exec {serve}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        for host in ["alpha", "beta"] {
            wait_for("the courier", || connect(host).is_some());
        }
        Self(here)
    }

    /// Ends the one of the other host.
    pub(crate) fn stop(there: &OutOfBand) {
        there.shell("pkill -f 'busybox nc -l[l]' || true");
    }
}

impl Drop for Couriers {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Connects to the courier of this host.
pub(crate) fn connect(host: &str) -> Option<TcpStream> {
    let address = (host, PORT).to_socket_addrs().ok()?.next()?;
    TcpStream::connect_timeout(&address, PATIENCE).ok()
}

/// The command that takes the place of ssh: it takes a host, or `host:port`, and a line.
pub(crate) fn command() -> String {
    script("courier-to")
}
