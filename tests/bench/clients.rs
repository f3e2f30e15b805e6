//! Waits of operators and their programs: the control socket, the command line, files of xl's, saved guests.

use std::{
    env,
    fs::{self, File},
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, RwLock},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use varlink::{
    Call, CallTrait, Connection, Interface, ListenConfig, MethodCall, Reply, VarlinkService,
};

use crate::{
    agent::nanos_of,
    host::{App, Host},
    managers::{Agent, Manager, dom0_nanos},
    support::{context, unique, wait_for, xl, xl_is_there},
    table::{Row, Samples, Table, Unit},
};

/// First argument of a process that answers as [`Echo`].
pub(crate) const ECHO: &str = "echo";
/// First argument of a process that reads a JSON file and prints it.
pub(crate) const READER: &str = "reader";

/// Calls of one sample, and samples of one figure.
const CALLS: u32 = 200;
const SAMPLES: usize = 15;
/// Domains of the host that is asked for all of them.
const MANY: usize = 1000;
/// Clients that follow the events, and deaths for each figure.
const FOLLOWERS: usize = 50;
const DEATHS: usize = 10;
/// Memory of the guest that is saved, in MiB.
const GUEST_MIB: u64 = 256;
/// Saves and restores of one figure.
const SAVES: usize = 5;

pub(crate) fn run(table: &mut Table, _: usize) {
    calls(table);
    many(table);
    if xl_is_there() {
        files(table);
        saves(table);
    }
    followers(table);
}

/// An agent for a simulated Xen, in a directory of its own. It ends with this value.
struct Simulated {
    dir: tempfile::TempDir,
    agent: Child,
}

impl Simulated {
    /// One whose domains, that many, all run.
    fn start(domains: usize) -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("config")).unwrap();
        fs::write(at("kernel"), "not really").unwrap();
        for n in 0..domains {
            let key = uuid::Uuid::from_u128(n as u128 + 1).to_string();
            let config = json!({
                "UUIDandVersion": {"UUID": key, "Version": "1"},
                "DisplayName": format!("app{n}"), "Activate": true, "AppNum": n + 1,
                "Kernel": at("kernel"), "Memory": 4096, "VCpus": 1, "VirtualizationMode": "PV",
            });
            fs::write(at("config").join(format!("{key}.json")), config.to_string()).unwrap();
        }
        let agent = Command::new(program("domainmgr"))
            .args([
                "run",
                "--simulate",
                "--simulate-speed",
                "100",
                "--log-level",
                "error",
            ])
            .arg("--config-dir")
            .arg(at("config"))
            .arg("--run-dir")
            .arg(at("run"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let this = Self { dir, agent };
        wait_for("all to run", || {
            let listed = this.list();
            let runs = |d: &&Value| d["StateName"] == "RUNNING";
            listed.iter().filter(runs).count() == domains
        });
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn status(&self) -> Command {
        let mut command = Command::new(program("domainmgr"));
        command.args(["status", "--json", "--status-dir"]);
        command.arg(self.path("run/DomainStatus"));
        command
    }

    fn list(&self) -> Vec<Value> {
        let said = self.status().output().unwrap().stdout;
        let lines = String::from_utf8(said).unwrap();
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}

/// A program beside this one.
fn program(name: &str) -> PathBuf {
    env::current_exe().unwrap().with_file_name(name)
}

/// A varlink service that gives the same reply to every call, which it is given as a file.
struct Echo(Value);

impl Interface for Echo {
    fn get_description(&self) -> &'static str {
        "interface xen.bench\nmethod Show(name: string) -> ()\n"
    }

    fn get_name(&self) -> &'static str {
        "xen.bench"
    }

    fn call_upgraded(
        &self,
        _: &mut Call,
        _: &mut dyn std::io::BufRead,
    ) -> varlink::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn call(&self, call: &mut Call) -> varlink::Result<()> {
        call.reply_struct(Reply::parameters(Some(self.0.clone())))
    }
}

/// Serves [`Echo`] at a socket, until it is killed.
pub(crate) fn echo(reply: &str, socket: &str) {
    let reply = serde_json::from_slice(&fs::read(reply).unwrap()).unwrap();
    let service = VarlinkService::new("xen", "bench", "1", "", vec![Box::new(Echo(reply))]);
    varlink::listen(service, &format!("unix:{socket}"), &ListenConfig::default()).unwrap();
}

/// Reads a file of JSON, a value on each line, and prints them again.
pub(crate) fn reader(path: &str) {
    let mut text = String::new();
    File::open(path).unwrap().read_to_string(&mut text).unwrap();
    let mut out = Vec::new();
    for line in text.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        serde_json::to_writer(&mut out, &value).unwrap();
        out.push(b'\n');
    }
    std::io::stdout().write_all(&out).unwrap();
}

type Shared = Arc<RwLock<Connection>>;

fn connect(socket: &Path) -> Shared {
    Connection::with_address(&format!("unix:{}", socket.display())).unwrap()
}

fn call(connection: &Shared, method: &str, name: &str) -> Value {
    let arguments = json!({"name": name});
    MethodCall::<Value, Value, varlink::Error>::new(
        Arc::clone(connection),
        method.to_owned(),
        arguments,
    )
    .call()
    .unwrap()
}

/// One domain is shown, beside the same reply from a service that does nothing.
fn calls(table: &mut Table) {
    let host = Simulated::start(1);
    let ours = connect(&host.path("run/control.sock"));
    let reply = call(&ours, "xen.domainmgr.Show", "app0");
    let (file, socket) = (host.path("reply"), host.path("echo.sock"));
    fs::write(&file, reply.to_string()).unwrap();
    let mut server = Command::new(program("bench"))
        .arg(ECHO)
        .args([&file, &socket])
        .spawn()
        .unwrap();
    wait_for("the echo", || UnixStream::connect(&socket).is_ok());
    let theirs = connect(&socket);
    let time = |connection: &Shared, method: &str| {
        let begin = Instant::now();
        for _ in 0..CALLS {
            call(connection, method, "app0");
        }
        begin.elapsed() / CALLS
    };
    let (mut show, mut echo) = (Vec::new(), Vec::new());
    for _ in 0..SAMPLES {
        show.push(time(&ours, "xen.domainmgr.Show"));
        echo.push(time(&theirs, "xen.bench.Show"));
    }
    let _ = server.kill();
    let _ = server.wait();
    table.add(Row {
        what: "socket: one domain is shown".to_owned(),
        domains: None,
        unit: Unit::Seconds,
        ours: show.into(),
        theirs: Some(("an echo", echo.into())),
    });
}

/// Returns how long the command takes.
fn whole(command: &mut Command) -> Duration {
    let begin = Instant::now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.unwrap().success(), "{command:?}");
    begin.elapsed()
}

/// All domains of a large host are listed, beside one file of that size which is read and printed.
fn many(table: &mut Table) {
    let host = Simulated::start(MANY);
    let all = host.path("all");
    fs::write(&all, host.status().output().unwrap().stdout).unwrap();
    let (mut status, mut read) = (Vec::new(), Vec::new());
    for _ in 0..SAMPLES {
        status.push(whole(&mut host.status()));
        read.push(whole(Command::new(program("bench")).arg(READER).arg(&all)));
    }
    table.add(Row {
        what: format!("status of {MANY} domains"),
        domains: None,
        unit: Unit::Seconds,
        ours: status.into(),
        theirs: Some(("one file", read.into())),
    });
}

/// A file of xl's is understood.
fn files(table: &mut Table) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.cfg");
    fs::write(
        &file,
        "name = 'a'\ntype = 'pvh'\nkernel = '/share/guest/tiny'\nmemory = 64\nvcpus = 2\n\
         disk = ['/dev/null,raw,xvda,r']\nvif = ['mac=00:16:3e:01:02:03']\non_crash = 'preserve'\n",
    )
    .unwrap();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..SAMPLES {
        let mut config = Command::new(program("domainmgr"));
        ours.push(whole(config.args(["config", "--json"]).arg(&file)));
        theirs.push(whole(Command::new("xl").args(["create", "-n"]).arg(&file)));
    }
    table.add(Row {
        what: "a file of xl's is read".to_owned(),
        domains: None,
        unit: Unit::Seconds,
        ours: ours.into(),
        theirs: Some(("xl", theirs.into())),
    });
}

/// A verb for one domain of the agent's.
fn verb(host: &Host, words: &[&str]) -> Command {
    let mut command = Command::new(program("domainmgr"));
    command
        .args(words)
        .arg("--control")
        .arg(host.path("run/control.sock"));
    command
}

/// A guest is saved and restored by the agent and by xl in turns.
fn saves(table: &mut Table) {
    let host = Host::start_with(&["--log-level", "error"]);
    let app: App = host.app("saved");
    host.put_tiny(&app, "PV", "", &json!({"Memory": GUEST_MIB << 10}));
    host.wait_state(&app, "RUNNING");
    let name = unique("xl-saved");
    let (config, theirs) = (host.path("xl.cfg"), host.path("theirs.save"));
    let text = format!(
        "name = '{name}'\ntype = 'pv'\nkernel = '/share/guest/tiny'\nmemory = {GUEST_MIB}\nvcpus = 1\n"
    );
    fs::write(&config, text).unwrap();
    xl(&["create", "-q", config.to_str().unwrap()]);
    let ours = host.path("ours.save");
    let (ours, theirs) = (ours.to_str().unwrap(), theirs.to_str().unwrap());
    let mut times: [Vec<Duration>; 4] = Default::default();
    for _ in 0..SAVES {
        for (at, mut command) in [
            verb(&host, &["save", &app.name(), ours]),
            words("xl", &["save", &name, theirs]),
            verb(&host, &["restore", ours]),
            words("xl", &["restore", theirs]),
        ]
        .into_iter()
        .enumerate()
        {
            times[at].push(whole(&mut command));
        }
        for path in [ours, theirs] {
            fs::remove_file(path).unwrap();
        }
    }
    xl(&["destroy", &name]);
    let [save, their_save, restore, their_restore] = times;
    for (verb, ours, theirs) in [
        ("save", save, their_save),
        ("restore", restore, their_restore),
    ] {
        table.add(Row {
            what: format!("{verb} of a guest of {GUEST_MIB} MiB"),
            domains: None,
            unit: Unit::Seconds,
            ours: ours.into(),
            theirs: Some(("xl", theirs.into())),
        });
    }
}

fn words(program: &str, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(words);
    command
}

/// dom0's time for a death, with clients that follow the events and without. The clients, which are threads of this program, do not
/// count.
fn followers(table: &mut Table) {
    let mut agent = Agent::start();
    let ctx = context();
    let nanos = || dom0_nanos(&ctx) - nanos_of(std::process::id()).unwrap();
    let deaths = |agent: &mut Agent| {
        (0..DEATHS)
            .map(|_| {
                agent.start_domains(1);
                let domains = agent.domains();
                let domain = domains.last().unwrap();
                let before = nanos();
                domain.shutdown().wait().unwrap();
                agent.wait_dealt_with(domain);
                // The work for a death goes on for a moment.
                thread::sleep(Duration::from_millis(500));
                (nanos() - before) as f64 / 1e9
            })
            .collect::<Vec<f64>>()
    };
    let without = deaths(&mut agent);
    let clients: Vec<UnixStream> = (0..FOLLOWERS)
        .map(|_| {
            let mut stream = UnixStream::connect(agent.control()).unwrap();
            let call = json!({"method": "xen.domainmgr.Events", "more": true, "parameters": {"follow": true}});
            stream.write_all(format!("{call}\0").as_bytes()).unwrap();
            let mut ours = stream.try_clone().unwrap();
            thread::spawn(move || {
                let mut buffer = [0; 1 << 16];
                while ours.read(&mut buffer).is_ok_and(|read| read > 0) {}
            });
            stream
        })
        .collect();
    thread::sleep(Duration::from_secs(1));
    let with = deaths(&mut agent);
    for client in clients {
        let _ = client.shutdown(std::net::Shutdown::Both);
    }
    table.add(Row {
        what: format!("dom0's CPU time for a death, {FOLLOWERS} follow events"),
        domains: None,
        unit: Unit::Seconds,
        ours: Samples::new(with),
        theirs: Some(("nobody", Samples::new(without))),
    });
}
