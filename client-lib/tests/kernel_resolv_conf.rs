//! `resolve::Dns` with the system's configuration: a resolv.conf, a host name and a loopback interface of the test's own. Needs
//! root and ip(8).

#![allow(clippy::unwrap_used, reason = "tests")]

mod dns_support;

use std::ffi::CString;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dns_support::Zone;
use obit::resolve::{Dns, IpFamily, Running, Update};

/// A machine of one thread, with this host name and this resolv.conf.
struct Machine {
    directory: tempfile::TempDir,
}

impl Machine {
    /// Makes this thread, and those it starts, a machine of its own.
    fn enter(host_name: &str, resolv_conf: &str) -> Self {
        let machine = Self {
            directory: tempfile::TempDir::new().unwrap(),
        };
        machine.configure(resolv_conf);
        std::fs::write(machine.file("hosts"), HOSTS).unwrap();
        let flags = libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWUTS;
        #[expect(
            unsafe_code,
            reason = "the standard library has neither unshare nor mount nor sethostname"
        )]
        // SAFETY: every pointer is to a C string that lives as long as the call, and only this thread changes.
        unsafe {
            assert_eq!(libc::unshare(flags), 0, "this test needs root");
            let root = text("/");
            let none = std::ptr::null();
            let private = libc::mount(none, root.as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast());
            assert_eq!(private, 0, "{}", std::io::Error::last_os_error());
            for name in ["resolv.conf", "hosts"] {
                let file = text(machine.file(name).to_str().unwrap());
                let etc = text(&format!("/etc/{name}"));
                let bound = libc::mount(file.as_ptr(), etc.as_ptr(), none, libc::MS_BIND, none.cast());
                assert_eq!(bound, 0, "{}", std::io::Error::last_os_error());
            }
            assert_eq!(libc::sethostname(text(host_name).as_ptr(), host_name.len()), 0);
        }
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
        assert!(up.success());
        machine
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn configure(&self, resolv_conf: &str) {
        std::fs::write(self.file("resolv.conf"), resolv_conf).unwrap();
    }
}

fn text(text: &str) -> CString {
    CString::new(text).unwrap()
}

/// Runs this on a thread of its own, as the one program of a machine.
fn on_a_machine<F: Future<Output = ()>>(
    host_name: &'static str,
    resolv_conf: &'static str,
    program: impl FnOnce(Machine) -> F + Send + 'static,
) {
    let thread = std::thread::spawn(move || {
        assert!(
            Path::new("/etc/resolv.conf").exists(),
            "there is nothing to put another one over"
        );
        let machine = Machine::enter(host_name, resolv_conf);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(program(machine));
    });
    thread.join().unwrap();
}

async fn next(running: &mut Running) -> Update {
    let next = tokio::time::timeout(Duration::from_secs(60), running.next());
    next.await.expect("something within a minute").expect("DNS never ends")
}

async fn addresses(dns: Dns) -> Vec<String> {
    match next(&mut Running::new(dns)).await {
        Update::Endpoints(endpoints) => endpoints.iter().map(|it| it.address().to_string()).collect(),
        Update::Failed(error) => panic!("{error}"),
    }
}

/// As the kubelet writes it.
const POD: &str =
    "search default.svc.cluster.test svc.cluster.test cluster.test\nnameserver 127.0.0.1\noptions ndots:5\n";

#[test]
fn the_search_list_and_ndots_of_the_system_count_and_the_host_names_domain_does_not() {
    on_a_machine("pod.elsewhere.test", POD, |_machine| async {
        let zone = Zone::at("test.", "127.0.0.1:53".parse().unwrap()).await;
        for (host, name) in (1..).zip([
            "demo.default.svc.cluster.test.",
            "demo.elsewhere.test.",
            "demo.shop.svc.cluster.test.",
            "demo.shop.test.",
        ]) {
            zone.name(name, &[Ipv4Addr::new(127, 88, 0, host)], 60).await;
        }
        assert_eq!(addresses(Dns::new("demo", 80)).await, ["127.88.0.1:80"]);
        assert_eq!(addresses(Dns::new("demo.shop", 80)).await, ["127.88.0.3:80"]);
        assert_eq!(addresses(Dns::new("demo.shop.test", 80)).await, ["127.88.0.4:80"]);
        assert_eq!(addresses(Dns::new("demo.shop.test.", 80)).await, ["127.88.0.4:80"]);
        let own = Dns::new("demo", 80).search(["elsewhere.test"]);
        assert_eq!(addresses(own).await, ["127.88.0.2:80"]);
    });
}

const HOSTS: &str = "127.0.0.1 localhost\n127.88.0.9 alias alias.test\n";

#[test]
fn a_name_in_the_hosts_file_is_not_asked_about_in_whichever_family() {
    on_a_machine("pod", POD, |_machine| async {
        // Nobody serves DNS here.
        for family in [IpFamily::PreferV4, IpFamily::PreferV6, IpFamily::All] {
            let alias = Dns::new("alias.test.", 80).ip_family(family);
            assert_eq!(addresses(alias).await, ["127.88.0.9:80"], "{family:?}");
        }
    });
}

#[test]
fn a_configuration_that_changes_is_read_again_after_a_failure() {
    // The kubelet gives a pod its configuration before it runs, but a laptop comes and goes.
    on_a_machine("laptop", "nameserver 127.0.0.2\n", |machine| async move {
        let zone = Zone::at("test.", "127.0.0.1:53".parse().unwrap()).await;
        zone.name("demo.test.", &[Ipv4Addr::new(127, 88, 0, 1)], 60).await;
        let mut running = Running::new(Dns::new("demo.test.", 80));
        assert!(matches!(next(&mut running).await, Update::Failed(_)));
        machine.configure("nameserver 127.0.0.1\n");
        // The look-up that fails has the configuration read for the one after it.
        for _ in 0..5 {
            if let Update::Endpoints(_) = next(&mut running).await {
                return;
            }
        }
        panic!("the new configuration was never read");
    });
}
