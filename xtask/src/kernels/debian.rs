//! Fetches Debian's kernels: by `apt-get download`, from the mirror this machine has its own packages from.
//!
//! The suites a kernel comes from need not be among the machine's own, so apt gets lists and a list of sources of our own;
//! nothing is installed and nothing of the system's changed.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command::{aside, must};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The package that always names the newest kernel of a suite. The cloud flavour has the same sources as the plain one and
/// every module the tests need, in a third of the bytes.
const NEWEST: &str = "linux-image-cloud-amd64";

/// What the machine's init is made of.
const SHELL: &str = "busybox-static";

/// The file that says that unpacking came to its end.
const COMPLETE: &str = "complete";

/// A kernel that Debian ships.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Release {
    /// Debian 11: too old for the monitor, which must say so
    #[value(skip)]
    Bullseye,
    /// Debian 12
    #[value(name = "6.1")]
    Bookworm,
    /// Debian 12, backports
    #[value(name = "6.12")]
    BookwormBackports,
}

impl Release {
    fn suite(self) -> &'static str {
        match self {
            Self::Bullseye => "bullseye",
            Self::Bookworm => "bookworm",
            Self::BookwormBackports => "bookworm-backports",
        }
    }

    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::Bullseye => "5.10",
            Self::Bookworm => "6.1",
            Self::BookwormBackports => "6.12",
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Linux {}", self.version())
    }
}

/// A kernel and a shell, unpacked.
pub(crate) struct Packages {
    /// Name and version of the kernel's package.
    pub(crate) kernel: String,
    /// What the kernel calls itself, e.g. `6.1.0-50-cloud-amd64`.
    pub(crate) uname: String,
    /// A folder for what belongs to this kernel.
    pub(crate) folder: PathBuf,
    root: PathBuf,
    shell: PathBuf,
}

impl Packages {
    pub(crate) fn image(&self) -> PathBuf {
        self.root.join(format!("boot/vmlinuz-{}", self.uname))
    }

    pub(crate) fn modules(&self) -> PathBuf {
        self.root.join("lib/modules").join(&self.uname)
    }

    pub(crate) fn busybox(&self) -> PathBuf {
        self.shell.join("bin/busybox")
    }
}

/// The release's newest kernel, under `folder`. What is there is not fetched again; what is newer is noticed when that
/// folder is removed.
pub(crate) fn fetch(release: Release, folder: &Path) -> Result<Packages> {
    let own = folder.join(release.version());
    let lists = folder.join("apt");
    let root = own.join("root");
    let kernel = unpacked(&root, || {
        let apt = Apt::prepare(release.suite(), &lists)?;
        let newest = apt.newest_kernel()?;
        Ok((apt, newest))
    })?;
    let shell = folder.join("shell");
    unpacked(&shell, || {
        Ok((Apt::prepare(Release::Bookworm.suite(), &lists)?, SHELL.to_owned()))
    })?;
    let modules = root.join("lib/modules");
    let mut entries = fs::read_dir(&modules).with_context(|| format!("cannot read {}", modules.display()))?;
    let uname = entries.next().context("the package has no modules")??.file_name();
    Ok(Packages {
        kernel,
        uname: uname.to_string_lossy().into_owned(),
        folder: own,
        root,
        shell,
    })
}

/// Unpacks a package at `root`, unless one is there; the package's name and version.
fn unpacked(root: &Path, choose: impl FnOnce() -> Result<(Apt, String)>) -> Result<String> {
    if let Ok(there) = fs::read_to_string(root.join(COMPLETE)) {
        return Ok(there);
    }
    let (apt, name) = choose()?;
    eprintln!("   fetching Debian's package {name}");
    let download = root.with_extension("deb");
    // What an attempt that was cut off left may be half of something.
    for folder in [root, &download] {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", folder.display()));
            }
            _ => {}
        }
    }
    fs::create_dir_all(&download).with_context(|| format!("cannot create {}", download.display()))?;
    must(
        aside(apt.command("apt-get"))
            .current_dir(&download)
            .args(["download", &name]),
    )?;
    let entry = fs::read_dir(&download)?.next();
    let package = entry.context("apt-get downloaded nothing")??.path();
    must(aside(Command::new("dpkg-deb")).arg("-x").arg(&package).arg(root))?;
    let full = package.file_stem().context("a package's name")?.to_string_lossy();
    fs::write(root.join(COMPLETE), full.as_bytes())?;
    // Tens of megabytes that are there a second time.
    fs::remove_dir_all(&download)?;
    Ok(full.into_owned())
}

/// apt with lists of our own.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    /// Learns what is in the suite, and keeps that below `lists`.
    fn prepare(suite: &str, lists: &Path) -> Result<Self> {
        let state = lists.join(suite);
        fs::create_dir_all(state.join("lists/partial"))?;
        fs::create_dir_all(state.join("cache/archives/partial"))?;
        let signed_by = if Path::new(KEYRING).exists() {
            format!(" signed-by={KEYRING}")
        } else {
            String::new()
        };
        let sources = state.join("sources.list");
        fs::write(
            &sources,
            format!("deb [arch=amd64{signed_by}] {} {suite} main\n", mirror()?),
        )?;
        fs::write(state.join("status"), "")?;
        let set = |name: &str, path: PathBuf| format!("{name}={}", path.display());
        let apt = Self {
            options: vec![
                set("Dir::Etc::sourcelist", sources),
                "Dir::Etc::sourceparts=/dev/null".into(),
                set("Dir::State::lists", state.join("lists")),
                set("Dir::State::status", state.join("status")),
                set("Dir::Cache", state.join("cache")),
                "APT::Architecture=amd64".into(),
                // apt's own user may not write below this folder.
                "APT::Sandbox::User=root".into(),
                "Acquire::Languages=none".into(),
                "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
                "Acquire::Retries=2".into(),
            ],
        };
        must(aside(apt.command("apt-get")).arg("update"))?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-q");
        for option in &self.options {
            command.args(["-o", option]);
        }
        command
    }

    /// The package of the newest kernel: what [`NEWEST`] depends on.
    fn newest_kernel(&self) -> Result<String> {
        let output = self.command("apt-cache").args(["show", NEWEST]).output()?;
        kernel_in(&String::from_utf8_lossy(&output.stdout))
            .with_context(|| format!("apt knows no kernel behind {NEWEST}"))
    }
}

/// The image the newest stanza depends on; apt prints that one first.
fn kernel_in(stanzas: &str) -> Option<String> {
    let depends = stanzas.lines().find_map(|line| line.strip_prefix("Depends: "))?;
    let package = depends
        .split([',', ' '])
        .find(|word| word.starts_with("linux-image-"))?;
    Some(package.to_owned())
}

/// Where this machine has Debian's packages from, or where `OBIT_DEBIAN_MIRROR` says.
fn mirror() -> Result<String> {
    if let Ok(mirror) = std::env::var("OBIT_DEBIAN_MIRROR")
        && !mirror.is_empty()
    {
        return Ok(mirror);
    }
    let output = Command::new("apt-get")
        .args(["indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)"])
        .output()
        .context("apt-get: the kernels come from Debian packages")?;
    ensure!(
        output.status.success(),
        "apt-get indextargets failed ({})",
        output.status
    );
    debian_in(&String::from_utf8_lossy(&output.stdout)).context(
        "this machine has no packages from Debian: name a mirror in OBIT_DEBIAN_MIRROR, as in a line of sources.list, and \
         install debian-archive-keyring",
    )
}

/// The address of the first of apt's sources that has Debian's main suites.
fn debian_in(sources: &str) -> Option<String> {
    const SUITES: [&str; 7] = [
        "bullseye",
        "bookworm",
        "trixie",
        "oldstable",
        "stable",
        "testing",
        "sid",
    ];
    sources.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (release, component, address) = (words.next()?, words.next()?, words.next()?);
        (SUITES.contains(&release) && component == "main").then(|| address.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_is_what_the_first_stanza_depends_on() {
        let stanzas = "Package: linux-image-cloud-amd64\nVersion: 6.1.176-1\n\
                       Depends: linux-image-6.1.0-50-cloud-amd64 (= 6.1.176-1)\n\n\
                       Package: linux-image-cloud-amd64\nDepends: linux-image-6.1.0-9-cloud-amd64 (= 6.1.27-1)\n";
        assert_eq!(kernel_in(stanzas).unwrap(), "linux-image-6.1.0-50-cloud-amd64");
        assert_eq!(kernel_in("Package: other\n"), None);
    }

    #[test]
    fn the_mirror_is_the_one_the_system_uses_and_not_that_of_updates_or_of_somebody_else() {
        let sources = "bookworm-security main http://security.example/debian-security/\n\
                       nodistro main http://other.example/\n\
                       bookworm main http://mirror.example/debian/\n";
        assert_eq!(debian_in(sources).unwrap(), "http://mirror.example/debian/");
        assert_eq!(debian_in("noble main http://ubuntu.example/ubuntu/\n"), None);
    }
}
