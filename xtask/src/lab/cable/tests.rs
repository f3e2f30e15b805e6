use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::*;

/// A cable without computers.
struct Rig {
    cable: Cable,
    alpha: UnixStream,
    beta: UnixStream,
    orders: PathBuf,
    dir: TempDir,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["alpha", "beta"].map(|name| dir.path().join(name));
        let ends = paths.clone().map(|path| UnixListener::bind(path).unwrap());
        let cable = Cable::new().unwrap();
        for host in Host::BOTH {
            cable.plug(host, &paths[host.index()]).unwrap();
        }
        let orders = dir.path().join("orders");
        cable.take_orders(&orders).unwrap();
        let [alpha, beta] = ends.map(|end| {
            let socket = end.accept().unwrap().0;
            let limit = Duration::from_millis(300);
            socket.set_read_timeout(Some(limit)).unwrap();
            socket
        });
        Self {
            cable,
            alpha,
            beta,
            orders,
            dir,
        }
    }

    fn alpha_sends(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        write_frame(&mut self.alpha, frame).unwrap();
        read_frame(&mut self.beta).ok().flatten()
    }

    fn beta_sends(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        write_frame(&mut self.beta, frame).unwrap();
        read_frame(&mut self.alpha).ok().flatten()
    }

    /// Gives orders on one connection.
    fn order(&self, lines: &[&str]) -> Vec<serde_json::Value> {
        let connection = UnixStream::connect(&self.orders).unwrap();
        let mut answers = BufReader::new(&connection).lines();
        lines
            .iter()
            .map(|line| {
                writeln!(&connection, "{line}").unwrap();
                serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap()
            })
            .collect()
    }
}

#[test]
fn each_direction_is_cut_for_itself() {
    let mut rig = Rig::new();
    assert_eq!(rig.alpha_sends(b"one").as_deref(), Some(&b"one"[..]));
    assert_eq!(rig.beta_sends(b"two").as_deref(), Some(&b"two"[..]));
    let answer = &rig.order(&["cut from alpha"])[0];
    assert_eq!(answer["alpha"]["up"], false);
    assert_eq!(answer["beta"]["up"], true);
    assert_eq!(rig.alpha_sends(b"three"), None);
    assert_eq!(rig.beta_sends(b"four").as_deref(), Some(&b"four"[..]));
    rig.order(&["mend"]);
    assert_eq!(rig.alpha_sends(b"five").as_deref(), Some(&b"five"[..]));
}

#[test]
fn a_connection_takes_many_orders_and_answers_each() {
    let rig = Rig::new();
    let answers = rig.order(&["delay 20ms from beta", "snip", ""]);
    assert_eq!(answers[0]["beta"]["delay_ms"], 20.0);
    assert_eq!(answers[0]["alpha"]["delay_ms"], 0.0);
    let error = answers[1]["error"].as_str().unwrap();
    assert!(error.starts_with("`snip` is no order"), "{error}");
    assert_eq!(answers[2], answers[0]);
}

#[test]
fn a_delayed_frame_arrives_later() {
    let mut rig = Rig::new();
    rig.order(&["delay 80ms from alpha"]);
    let begin = Instant::now();
    assert!(rig.alpha_sends(b"late").is_some());
    assert!(begin.elapsed() >= Duration::from_millis(80));
    let begin = Instant::now();
    assert!(rig.beta_sends(b"soon").is_some());
    assert!(begin.elapsed() < Duration::from_millis(80));
}

#[test]
fn frames_keep_their_limits_and_their_order() {
    let mut rig = Rig::new();
    let frames: Vec<Vec<u8>> = (0..100u8)
        .map(|n| vec![n; 1 + usize::from(n) * 15])
        .collect();
    for frame in &frames {
        write_frame(&mut rig.alpha, frame).unwrap();
    }
    for frame in &frames {
        assert_eq!(read_frame(&mut rig.beta).unwrap().as_ref(), Some(frame));
    }
    let state = rig.cable.obey(&Order::default());
    assert_eq!(state["alpha"]["arrived_frames"], 100);
    assert_eq!(state["beta"]["arrived_frames"], 0);
}

#[test]
fn a_host_that_was_off_is_plugged_in_again_with_the_faults_of_the_cable() {
    let mut rig = Rig::new();
    rig.order(&["cut from beta"]);
    let path = rig.dir.path().join("beta-again");
    let end = UnixListener::bind(&path).unwrap();
    rig.beta.shutdown(std::net::Shutdown::Both).unwrap();
    write_frame(&mut rig.alpha, b"lost").unwrap();
    thread::sleep(Duration::from_millis(50));
    rig.cable.plug(Host::Beta, &path).unwrap();
    rig.beta = end.accept().unwrap().0;
    let limit = Duration::from_millis(300);
    rig.beta.set_read_timeout(Some(limit)).unwrap();
    assert_eq!(rig.alpha_sends(b"one").as_deref(), Some(&b"one"[..]));
    assert_eq!(rig.beta_sends(b"two"), None);
    rig.order(&["mend"]);
    assert_eq!(rig.beta_sends(b"three").as_deref(), Some(&b"three"[..]));
}
