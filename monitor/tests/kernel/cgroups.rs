//! The cgroups of subscribers: where the process that connects is, whatever else it is in.

use std::io::{BufRead, BufReader};
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{fs, thread};

use obit_monitor::kernel::{self, Cgroups, Options};
use obit_monitor::subscribers::Uid;
use rustix::thread::UnshareFlags;

use crate::place::Place;

const POD: &str = "0a1b2c3d-0000-4000-8000-00000000002a";
const VICTIM: &str = "ffffffff-0000-4000-8000-00000000002b";

/// Set for the process that connects: where to, and from which cgroup.
const SOCKET: &str = "OBIT_TEST_SOCKET";
const CGROUP: &str = "OBIT_TEST_CGROUP";

/// A cgroup of a test's own, gone with it.
struct Cgroup {
    /// Outermost first.
    made: Vec<PathBuf>,
}

impl Cgroup {
    /// `path` below a cgroup with the name `name` and this process's number.
    fn make(name: &str, path: &str) -> Self {
        let mut at = hierarchy().join(format!("obit-test-{}-{name}", std::process::id()));
        let mut made = Vec::new();
        for part in [""].into_iter().chain(path.split('/')) {
            if !part.is_empty() {
                at.push(part);
            }
            fs::create_dir(&at).expect("making a cgroup needs root, and cgroup2 mounted for writing");
            made.push(at.clone());
        }
        Self { made }
    }

    fn path(&self) -> &Path {
        self.made.last().expect("there is one at least")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for path in self.made.iter().rev() {
            let removed = fs::remove_dir(path);
            assert!(
                thread::panicking() || removed.is_ok(),
                "{} stays: {removed:?}",
                path.display()
            );
        }
    }
}

/// Where the cgroups of version 2 are: the only ones a socket belongs to.
fn hierarchy() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let of_version_2 = |line: &&str| line.contains(" - cgroup2 ");
    let mount = mounts.lines().find(of_version_2);
    let mount = mount.expect("cgroup2 is mounted nowhere: mount -t cgroup2 cgroup /sys/fs/cgroup");
    PathBuf::from(mount.split(' ').nth(4).unwrap())
}

/// The kernel half, and a socket.
struct Monitor {
    cgroups: Cgroups,
    listener: UnixListener,
    folder: tempfile::TempDir,
    // The programs' maps live as long as these.
    _source: kernel::KernelSource,
}

impl Monitor {
    fn start() -> Self {
        let kernel = kernel::start(&Options::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        Self {
            cgroups: kernel.cgroups.expect("this kernel tells the cgroups of sockets"),
            listener: UnixListener::bind(folder.path().join("socket")).unwrap(),
            folder,
            _source: kernel.source,
        }
    }

    /// This program again, to connect from `cgroup`.
    fn subscriber(&self, cgroup: &Path) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let this = "cgroups::a_subscriber_is_known_by_the_cgroup_it_connects_from_whatever_namespaces_it_is_in";
        command.args([this, "--exact", "--nocapture"]);
        command
            .env(SOCKET, self.folder.path().join("socket"))
            .env(CGROUP, cgroup);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }

    /// The cgroup and the pod of who connects next.
    fn next(&self) -> (Vec<String>, Option<Uid>) {
        let (stream, _) = self.listener.accept().unwrap();
        let names = self.cgroups.of(stream.as_fd()).unwrap();
        let uid = Uid::of_cgroup(&names);
        (names, uid)
    }
}

/// Ends with the test, and before its cgroup.
struct Subscriber(Child);

impl Drop for Subscriber {
    fn drop(&mut self) {
        // Its input ends, and so does it.
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// What the process that connects does.
fn connect_and_wait(socket: &Path) {
    let cgroup = PathBuf::from(std::env::var_os(CGROUP).unwrap());
    // 0: whoever writes it, also where it has another number.
    fs::write(cgroup.join("cgroup.procs"), "0").unwrap();
    let _stream = UnixStream::connect(socket).unwrap();
    println!("\nconnected");
    std::io::stdin().lines().for_each(drop);
}

fn connected(child: Child) -> Subscriber {
    let mut subscriber = Subscriber(child);
    let said = BufReader::new(subscriber.0.stdout.take().unwrap());
    let there = said.lines().map_while(Result::ok).any(|line| line == "connected");
    assert!(there, "it ended before it was connected");
    subscriber
}

#[test]
fn a_subscriber_is_known_by_the_cgroup_it_connects_from_whatever_namespaces_it_is_in() {
    if let Some(socket) = std::env::var_os(SOCKET) {
        return connect_and_wait(socket.as_ref());
    }
    let monitor = Monitor::start();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = own
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .unwrap()
        .to_owned();
    let cgroup = Cgroup::make("known", &format!("kubepods/burstable/pod{POD}/aa"));
    let place = Place::new();
    let mut command = monitor.subscriber(cgroup.path());
    let child = place.run(move || {
        unshare(UnshareFlags::NEWPID);
        command.spawn().unwrap()
    });
    let _subscriber = connected(child);
    let (names, uid) = monitor.next();
    assert_eq!(names[1..], ["kubepods", "burstable", &format!("pod{POD}"), "aa"]);
    assert_eq!(uid, Uid::parse(POD));
    // And one of this process's own, which is in no pod.
    let _here = UnixStream::connect(monitor.folder.path().join("socket")).unwrap();
    let (names, uid) = monitor.next();
    assert_eq!(format!("/{}", names.join("/")), own);
    assert_eq!(uid, None);
}

#[test]
fn what_a_subscriber_makes_of_its_own_cgroup_gives_it_nobody_elses_name() {
    let monitor = Monitor::start();
    let forged = format!("kubepods/burstable/pod{POD}/aa/kubepods/burstable/pod{VICTIM}/aa");
    let cgroup = Cgroup::make("forged", &forged);
    let place = Place::new();
    let mut command = monitor.subscriber(cgroup.path());
    // In a cgroup namespace too, where its own cgroup is called `/`.
    let child = place.run(move || {
        unshare(UnshareFlags::NEWCGROUP);
        command.spawn().unwrap()
    });
    let _subscriber = connected(child);
    let (names, uid) = monitor.next();
    assert_eq!(names.len(), 9);
    assert_eq!(uid, Uid::parse(POD));
}

#[test]
fn who_is_deeper_than_the_programs_look_is_nobody_in_particular() {
    let monitor = Monitor::start();
    let deep = format!("kubepods/pod{POD}/{}", ["x"; 16].join("/"));
    let cgroup = Cgroup::make("deep", &deep);
    let _subscriber = connected(monitor.subscriber(cgroup.path()).spawn().unwrap());
    assert_eq!(monitor.next(), (Vec::new(), None));
}

#[test]
fn who_left_its_cgroup_after_it_connected_is_known_by_the_one_it_came_from() {
    let monitor = Monitor::start();
    let cgroup = Cgroup::make("left", &format!("kubepods/pod{POD}"));
    let other = Cgroup::make("other", &format!("kubepods/pod{VICTIM}"));
    let subscriber = connected(monitor.subscriber(cgroup.path()).spawn().unwrap());
    fs::write(other.path().join("cgroup.procs"), subscriber.0.id().to_string()).unwrap();
    assert_eq!(monitor.next().1, Uid::parse(POD));
    drop(subscriber);
}

#[expect(
    unsafe_code,
    reason = "rustix calls unsharing unsafe for its flags that part file descriptors and memory"
)]
fn unshare(flags: UnshareFlags) {
    // SAFETY: neither of the flags asked for here parts descriptors or memory.
    let result = unsafe { rustix::thread::unshare_unsafe(flags) };
    result.expect("making a namespace needs root (CAP_SYS_ADMIN)");
}
