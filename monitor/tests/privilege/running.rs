//! `obit monitor` itself: what the kernel says of each of its threads while it works.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::nobody::Nobody;
use crate::place::Place;
use crate::subscriber::{Subscriber, a_place};

/// The policy of `SCHED_FIFO` (`linux/sched.h`).
const SCHED_FIFO: &str = "1";

struct Monitor(Child);

impl Monitor {
    fn start(mut command: Command, socket: &Path, flags: &[&str]) -> Self {
        command.args(["monitor", "--socket"]).arg(socket).args(flags);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut ready).unwrap();
        let monitor = Self(child);
        assert!(ready.starts_with("ready socket="), "{ready:?}, {}", monitor.killed());
        monitor
    }

    fn tasks(&self) -> Vec<Task> {
        let folder = format!("/proc/{}/task", self.0.id());
        let tasks = fs::read_dir(folder).unwrap();
        // A thread may end while we look.
        tasks.filter_map(|task| Task::read(&task.unwrap().path())).collect()
    }

    /// Ended by SIGTERM, cleanly; what it had said to stderr.
    fn terminate(mut self) -> String {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(self.0.wait().unwrap().success(), "{said}");
        said
    }

    fn killed(mut self) -> String {
        self.0.kill().unwrap();
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        said
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // Fails if it has ended, as it should have.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What `/proc` says of a thread.
#[derive(Debug)]
struct Task {
    name: String,
    policy: String,
    status: String,
}

impl Task {
    fn read(folder: &Path) -> Option<Self> {
        let text = |file| fs::read_to_string(folder.join(file)).ok();
        // The fields after the name, which may hold anything.
        let stat = text("stat")?;
        let policy = stat.rsplit_once(')')?.1.split_whitespace().nth(38)?.to_owned();
        Some(Self {
            name: text("comm")?.trim().to_owned(),
            policy,
            status: text("status")?,
        })
    }

    fn field(&self, name: &str) -> &str {
        let line = self.status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.strip_prefix(':'))
            .unwrap_or_else(|| panic!("no {name} in {self:?}"))
            .trim()
    }

    fn holds(&self, set: &str) -> u64 {
        u64::from_str_radix(self.field(set), 16).unwrap()
    }

    fn has_given_up(&self) {
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(self.holds(set), 0, "{set} of {}", self.name);
        }
        assert_eq!(self.field("NoNewPrivs"), "1", "{}", self.name);
        assert_eq!(self.field("Seccomp"), "2", "{}", self.name);
    }
}

fn names(tasks: &[Task]) -> BTreeSet<&str> {
    tasks.iter().map(|task| task.name.as_str()).collect()
}

/// Deaths are told before and after a look at every thread, to old subscribers and new ones, and SIGTERM leaves nothing.
fn works_without_privileges(monitor: Monitor, socket: &Path, look: impl Fn(&[Task])) {
    let place = a_place();
    let mut old = Subscriber::in_place(&place, socket);
    for _ in 0..3 {
        old.sees_a_death(&place);
        let tasks = monitor.tasks();
        tasks.iter().for_each(Task::has_given_up);
        look(&tasks);
    }
    let mut new = Subscriber::in_place(&place, socket);
    new.sees_a_death(&place);
    old.sees_a_death(&place);
    monitor.terminate();
    assert!(!socket.exists(), "it left its socket behind");
}

#[test]
fn two_capabilities_start_it_as_nobody_and_no_thread_keeps_them() {
    let nobody = Nobody::with_obit();
    let monitor = Monitor::start(nobody.command("+bpf,+perfmon"), &nobody.socket(), &[]);
    works_without_privileges(monitor, &nobody.socket(), |tasks| {
        assert_eq!(names(tasks), BTreeSet::from(["program", "obit-reader"]));
    });
}

#[test]
fn with_a_third_its_readers_come_before_ordinary_threads_and_no_thread_keeps_any() {
    let nobody = Nobody::with_obit();
    let monitor = Monitor::start(nobody.command("+bpf,+perfmon,+sys_nice"), &nobody.socket(), &[]);
    works_without_privileges(monitor, &nobody.socket(), |tasks| {
        assert!(names(tasks).contains("obit-bell-0"), "{tasks:?}");
        for task in tasks {
            let reads = task.name.starts_with("obit-");
            assert_eq!(task.policy == SCHED_FIFO, reads, "{}", task.name);
        }
    });
}

/// As the systemd unit starts it.
#[test]
fn from_a_network_namespace_that_reaches_nobody_it_sees_all_the_others() {
    let nobody = Nobody::with_obit();
    let nowhere = Place::new();
    let (command, socket) = (nobody.command("+bpf,+perfmon,+sys_nice"), nobody.socket());
    let monitor = nowhere.run(move || Monitor::start(command, &socket, &[]));
    works_without_privileges(monitor, &nobody.socket(), |_| {});
}

#[test]
fn started_by_root_it_ends_with_nothing_either_not_even_a_bounding_set() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("obit.sock");
    let monitor = Monitor::start(Command::new(env!("CARGO_BIN_EXE_obit")), &socket, &[]);
    works_without_privileges(monitor, &socket, |tasks| {
        for task in tasks {
            assert_eq!(task.holds("CapBnd"), 0, "{}", task.name);
        }
    });
}

#[test]
fn told_to_keep_its_privileges_it_keeps_them_and_warns() {
    let nobody = Nobody::with_obit();
    let monitor = Monitor::start(
        nobody.command("+bpf,+perfmon"),
        &nobody.socket(),
        &["--keep-privileges"],
    );
    for task in monitor.tasks() {
        assert!(task.holds("CapEff") != 0 && task.field("Seccomp") == "0", "{task:?}");
    }
    let said = monitor.terminate();
    assert!(said.contains("WARN") && said.contains("--keep-privileges"), "{said}");
}

#[test]
fn without_capabilities_one_error_names_those_that_are_missing_and_the_next_step() {
    let nobody = Nobody::with_obit();
    let mut command = nobody.command("");
    let output = command
        .args(["monitor", "--socket"])
        .arg(nobody.socket())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.trim().lines().count(), 1, "{said}");
    for word in ["CAP_BPF", "CAP_PERFMON", "setcap"] {
        assert!(said.contains(word), "{said}");
    }
    assert!(output.stdout.is_empty(), "it must not say that it is ready");
}
