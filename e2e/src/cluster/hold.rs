//! The first process of a node, in a mount, PID and network namespace of its own: it lays out the node's view of the machine, then
//! waits until the run hangs up. The kernel then ends everything in the node, whatever state it is in, and its mounts go too.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, mount_change, unmount,
};
use rustix::process::{WaitOptions, wait};
use signal_hook::consts::SIGCHLD;

/// What it prints once the node can be used.
pub(super) const READY: &str = "laid out";

/// The folders of the machine that a node has its own of, and what they are called in the node's folder.
const OWN: [(&str, &str); 4] = [
    ("/var/lib/kubelet", "kubelet"),
    ("/var/lib/cni", "cni-state"),
    ("/var/log/pods", "pods"),
    ("/var/log/containers", "containers"),
];

/// What kubelet insists on and would set for the whole machine: it is shown these values instead.
const SHOWN: [(&str, &str); 3] = [
    ("/proc/sys/vm/overcommit_memory", "1"),
    ("/proc/sys/kernel/panic", "10"),
    ("/proc/sys/kernel/panic_on_oops", "1"),
];

/// How soon a node knows that a neighbour is gone: after seconds instead of half a minute.
const NEIGHBOURS: [(&str, &str); 5] = super::neighbour::FAST;

/// Lays out the node whose files are in `folder`, says [`READY`], and stays until its standard input is closed.
pub(crate) fn hold(folder: &Path) -> Result<()> {
    let lines = hang_up_or_child()?;
    lay_out(folder)?;
    println!("{READY}");
    std::io::stdout().flush().context("saying so")?;
    stay(&lines)
}

/// Readable when a child has ended.
fn hang_up_or_child() -> Result<UnixStream> {
    let (read, write) = UnixStream::pair().context("a pair of sockets for signals")?;
    read.set_nonblocking(true).context("a socket for signals")?;
    signal_hook::low_level::pipe::register(SIGCHLD, write).context("handling SIGCHLD")?;
    Ok(read)
}

fn lay_out(folder: &Path) -> Result<()> {
    own_sys(folder)?;
    own_run()?;
    own_folders(folder)?;
    for (file, value) in SHOWN {
        let shown = folder.join(file.replace('/', "-"));
        fs::write(&shown, format!("{value}\n")).with_context(|| format!("writing {}", shown.display()))?;
        mount_bind(&shown, file).with_context(|| format!("showing another {file}"))?;
    }
    network()?;
    // What kubelet mounts for a pod is to be seen by containerd, and by a container that asks for it.
    let shared = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
    mount_change("/", shared).context("sharing mounts within the node")
}

/// /sys of the node's own network namespace, with the machine's cgroups in it.
fn own_sys(folder: &Path) -> Result<()> {
    let aside = folder.join("cgroup");
    fs::create_dir_all(&aside).context("a folder for the cgroups")?;
    mount_bind_recursive("/sys/fs/cgroup", &aside).context("the cgroups, set aside")?;
    mount("sysfs", "/sys", "sysfs", MountFlags::empty(), None).context("mounting /sys")?;
    mount_bind_recursive(&aside, "/sys/fs/cgroup").context("the cgroups, back in place")?;
    unmount(&aside, UnmountFlags::DETACH).context("the cgroups' other place")?;
    for (kind, target) in [
        ("bpf", "/sys/fs/bpf"),
        ("tracefs", "/sys/kernel/tracing"),
        ("debugfs", "/sys/kernel/debug"),
    ] {
        // A kernel may be built without one; who needs it will say so.
        if let Err(error) = mount(kind, target, kind, MountFlags::empty(), None) {
            eprintln!("no {target}: {error}");
        }
    }
    Ok(())
}

/// An empty /run: sockets and pod's `hostPath`s there are the node's own.
fn own_run() -> Result<()> {
    mount("tmpfs", "/run", "tmpfs", MountFlags::empty(), Some(c"mode=755")).context("mounting /run")?;
    for folder in ["/run/netns", "/run/containerd", "/run/lock"] {
        fs::create_dir_all(folder).with_context(|| format!("making {folder}"))?;
    }
    Ok(())
}

/// The node's own below /var: its mount points are made in a layer of its own, so that the machine's /var stays as it is.
fn own_folders(folder: &Path) -> Result<()> {
    let (upper, work) = (folder.join("var"), folder.join("var-work"));
    for layer in [&upper, &work] {
        fs::create_dir_all(layer).with_context(|| format!("making {}", layer.display()))?;
    }
    let options = format!("lowerdir=/var,upperdir={},workdir={}", upper.display(), work.display());
    let options = std::ffi::CString::new(options).context("the node's folder")?;
    mount(
        "overlay",
        "/var",
        "overlay",
        MountFlags::empty(),
        Some(options.as_c_str()),
    )
    .context("a layer over /var")?;
    for (target, name) in OWN {
        let own = folder.join(name);
        for made in [own.as_path(), Path::new(target)] {
            fs::create_dir_all(made).with_context(|| format!("making {}", made.display()))?;
        }
        // Containers of other users pass through.
        fs::set_permissions(&own, fs::Permissions::from_mode(0o755)).context("permissions")?;
        mount_bind(&own, target).with_context(|| format!("the node's own {target}"))?;
    }
    Ok(())
}

/// The node forwards for its pods, and knows soon when a neighbour is gone.
fn network() -> Result<()> {
    let set = |file: String, value: &str| {
        fs::write(Path::new("/proc/sys/net").join(&file), value).with_context(|| format!("setting net/{file}"))
    };
    set("ipv4/ip_forward".into(), "1")?;
    for link in ["eth0", "cni0"] {
        for (name, value) in NEIGHBOURS {
            set(format!("ipv4/neigh/{link}/{name}"), value)?;
        }
    }
    // Only there when the kernel has br_netfilter loaded. With it, a pod reaches a Service whose pod is on the same node.
    if let Err(error) = set("bridge/bridge-nf-call-iptables".into(), "1") {
        eprintln!("{error:#}");
    }
    Ok(())
}

/// Waits for the end of its standard input, and buries what is left to the first process of a PID namespace.
fn stay(children: &UnixStream) -> Result<()> {
    let mut stdin = std::io::stdin();
    loop {
        let mut waited = [
            PollFd::new(&stdin, PollFlags::IN),
            PollFd::from_borrowed_fd(children.as_fd(), PollFlags::IN),
        ];
        match poll(&mut waited, None) {
            Err(rustix::io::Errno::INTR) => continue,
            polled => polled.context("poll")?,
        };
        let hung_up = !waited[0].revents().is_empty();
        let mut drained = [0; 64];
        let _ = (&mut &*children).read(&mut drained);
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        if hung_up && stdin.read(&mut drained).unwrap_or(0) == 0 {
            return Ok(());
        }
    }
}
