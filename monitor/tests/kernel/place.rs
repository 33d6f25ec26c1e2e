//! A network namespace of a test's own.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use obit_monitor::kernel::netns_cookie;
use obit_monitor::sighting::NetnsCookie;

/// The loopback address of every place.
pub(crate) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

type Job = Box<dyn FnOnce() + Send>;

/// A fresh network namespace with loopback up, and a thread in it that does what it is told. The namespace goes with the
/// thread and the last socket made in it.
pub(crate) struct Place {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    cookie: NetnsCookie,
    path: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (ready, entered) = mpsc::channel();
        let thread = thread::spawn(move || {
            unshare();
            run("ip", &["link", "set", "lo", "up"]);
            let cookie = netns_cookie(None).expect("the kernel numbers its network namespaces");
            let thread = rustix::thread::gettid().as_raw_nonzero();
            let path = format!("/proc/{}/task/{thread}/ns/net", std::process::id());
            ready.send((cookie, path)).unwrap();
            inbox.into_iter().for_each(|job| job());
        });
        let (cookie, path) = entered.recv().expect("a network namespace of our own");
        Self {
            jobs: Some(jobs),
            thread: Some(thread),
            cookie,
            path,
        }
    }

    /// One with an address of its own that is not loopback, so that it means the same everywhere.
    pub(crate) fn with_address(address: impl ToString) -> Self {
        let place = Self::new();
        place.command("ip", &["address", "add", &address.to_string(), "dev", "lo"]);
        place
    }

    pub(crate) fn cookie(&self) -> NetnsCookie {
        self.cookie
    }

    /// Does something inside, and waits for it.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (send, receive) = mpsc::channel();
        let job = Box::new(move || send.send(job()).unwrap());
        self.jobs.as_ref().unwrap().send(job).unwrap();
        receive
            .recv()
            .expect("what a test does in its namespace does not panic")
    }

    /// Runs a command inside; it must succeed.
    pub(crate) fn command(&self, program: &'static str, arguments: &[&str]) {
        let arguments: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        self.run(move || {
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            run(program, &arguments);
        });
    }

    /// Treats packets that arrive here as one rule of `nft` says, instead of what was said before.
    pub(crate) fn rule(&self, rule: &str) {
        let rules = format!(
            "add table inet test\n\
             delete table inet test\n\
             table inet test {{\nchain input {{\ntype filter hook input priority 0\n{rule}\n}}\n}}\n"
        );
        self.run(move || {
            let mut nft = Command::new("nft")
                .args(["-f", "-"])
                .stdin(Stdio::piped())
                .spawn()
                .expect("`nft` is installed (package nftables)");
            nft.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
            assert!(nft.wait().unwrap().success(), "nft did not take {rules}");
        });
    }
}

/// Lays a cable between two places and gives each end an address of one network.
pub(crate) fn join(one: &Place, its: Ipv4Addr, other: &Place, others: Ipv4Addr) {
    one.command("ip", &["link", "add", "cable", "type", "veth", "peer", "name", "end"]);
    one.command("ip", &["link", "set", "end", "netns", &other.path]);
    for (place, device, address) in [(one, "cable", its), (other, "end", others)] {
        place.command("ip", &["address", "add", &format!("{address}/24"), "dev", device]);
        place.command("ip", &["link", "set", device, "up"]);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.jobs.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status();
    let status = status.unwrap_or_else(|error| panic!("`{program}` cannot be run ({error}): install iproute2"));
    assert!(status.success(), "{program} {arguments:?} ended with {status}");
}

#[expect(
    unsafe_code,
    reason = "rustix calls unsharing unsafe for its flags that part file descriptors and memory"
)]
fn unshare() {
    // SAFETY: a network namespace has neither.
    let result = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) };
    result.expect("making a network namespace needs root (CAP_SYS_ADMIN)");
}
