//! Go, which the parts are built with: found, and run so that nothing of the user's is read or left behind.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::cleaning::Cleaning;
use super::parts::remove;
use super::progress::Progress;
use super::watch::watch;
use crate::command::{find_program, output};

/// The oldest Go that Kubernetes, CoreDNS and Helm build with, as their `go.mod` say.
const OLDEST: (u32, u32) = (1, 26);

/// Where Go lies when it was unpacked as its own page says and nobody has put it on the `PATH`.
const UNPACKED: &str = "/usr/local/go/bin/go";

/// What every build of ours does: no paths of this machine in programs, no table of symbols, and no inlining, which is a third of the
/// compiler's work (Go's own compiler took 76 s of processor time in place of 118).
const FLAGS: [&str; 3] = ["-trimpath", "-buildvcs=false", "-gcflags=all=-l"];
const LINKER: &str = "-s -w";

/// Where Go works, in the folder for what it does on the way.
const TEMPORARY: &str = "tmp";
/// Where it keeps what it fetched, likewise.
const MODULES: &str = "modules";

/// A Go that is new enough, and folders for what it fetches and compiles on the way.
#[derive(Debug)]
pub(super) struct Go {
    program: PathBuf,
    folder: PathBuf,
}

/// One run of `go build`.
#[derive(Debug, Clone)]
pub(super) struct Build<'a> {
    /// What it is called in the line of progress.
    pub(super) title: &'a str,
    /// The folder with the `go.mod`; that file and its `go.sum` are changed.
    pub(super) module: &'a Path,
    /// Import paths of programs, or `.`.
    pub(super) packages: &'a [String],
    /// What is set in the programs: `import/path.variable=value`.
    pub(super) set: &'a [String],
    /// The folder where they go.
    pub(super) out: &'a Path,
}

/// How programs are built: belongs to the recipe of each.
pub(super) fn recipe() -> String {
    format!("go build {} -ldflags '{LINKER}', without cgo\n", FLAGS.join(" "))
}

impl Go {
    /// Finds Go. What it fetches and compiles lies in `folder`, several gigabytes, until [`Self::clean`].
    ///
    /// # Errors
    /// There is no Go, or one that is too old: says what to install.
    pub(super) fn find(folder: PathBuf) -> Result<Self> {
        let program = program().with_context(|| format!("there is no `go` on this machine. {}", next_step()))?;
        let version = output(Command::new(&program).args(["env", "GOVERSION"])).unwrap_or_default();
        let version = version.trim();
        ensure!(
            is_new_enough(version),
            "{} is `{version}`, which is too old. {}",
            program.display(),
            next_step()
        );
        // What a build that was cut off has left of its work.
        remove(&folder.join(TEMPORARY))?;
        Ok(Self { program, folder })
    }

    /// Builds programs: fetches modules, finds out how much there is to compile, and compiles, showing progress.
    pub(super) fn build(&self, build: &Build<'_>) -> Result<()> {
        std::fs::create_dir_all(build.out).with_context(|| format!("cannot create {}", build.out.display()))?;
        let set: String = build.set.iter().map(|it| format!(" -X {it}")).collect();
        let flags = FLAGS
            .map(str::to_owned)
            .into_iter()
            .chain([format!("-ldflags={LINKER}{set}")]);
        let flags: Vec<_> = flags.collect();
        let mut list = self.command(build.module);
        list.args(["list", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}"])
            .args(&flags)
            .args(build.packages);
        let stale = watch(
            &format!("{}, modules", build.title),
            &mut list,
            &mut Progress::default(),
        )?;
        let packages = stale.lines().filter(|line| !line.is_empty()).count();
        let mut compile = self.command(build.module);
        compile.args(["build", "-v"]).args(&flags).arg("-o");
        // With the slash it is a folder, also for one program.
        compile.arg(format!("{}/", build.out.display())).args(build.packages);
        watch(build.title, &mut compile, &mut Progress::of(packages)).map(drop)
    }

    /// The `go.mod` that a module was published with.
    pub(super) fn published(&self, module: &str, version: &str) -> Result<String> {
        let name = format!("{module}@{version}");
        let mut fetch = self.command(&self.folder);
        fetch.args(["mod", "download", "-json", &name]);
        let printed = watch(&name, &mut fetch, &mut Progress::default())?;
        let printed: serde_json::Value = serde_json::from_str(&printed).context("what go mod download printed")?;
        let file = printed["GoMod"].as_str();
        let file = file.with_context(|| format!("go mod download names no go.mod of {name}"))?;
        std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))
    }

    /// Has what was fetched removed. What is compiled stays: some of it others are made of, too.
    pub(super) fn clean_sources(&self, cleaning: &mut Cleaning) -> Result<()> {
        cleaning.add(&self.folder.join(MODULES))
    }

    /// Has what was fetched and compiled on the way removed.
    pub(super) fn clean(&self, cleaning: &mut Cleaning) -> Result<()> {
        cleaning.add(&self.folder)
    }

    /// `go` in this folder. Only where modules come from, and which Go builds them, are the user's choice.
    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.program);
        let temporary = self.folder.join(TEMPORARY);
        // Go wants it to be there, and says so where it is not.
        let _ = std::fs::create_dir_all(&temporary);
        command
            .current_dir(folder)
            .env("GOFLAGS", "-mod=mod -modcacherw")
            .env("GOWORK", "off")
            .env("GO111MODULE", "on")
            .env("CGO_ENABLED", "0")
            // The compiler's own: it is gone before its memory is short.
            .env("GOGC", "400")
            .env("GOCACHE", self.folder.join("compiled"))
            .env("GOMODCACHE", self.folder.join(MODULES))
            .env("GOTMPDIR", temporary)
            .env_remove("GOOS")
            .env_remove("GOARCH")
            .env_remove("GOBIN");
        command
    }
}

fn program() -> Option<PathBuf> {
    find_program("go").or_else(|| Path::new(UNPACKED).is_file().then(|| UNPACKED.into()))
}

fn next_step() -> String {
    let (major, minor) = OLDEST;
    format!(
        "Kubernetes, CoreDNS and Helm are built for the end-to-end tests, which takes Go {major}.{minor} or later. Next: unpack one \
         from https://go.dev/dl into /usr/local/go, and run the command again; with Go 1.21 or later \
         `GOTOOLCHAIN=go{major}.{minor}.0+auto` lets Go fetch it itself"
    )
}

/// Whether Go of this version, as in `go env GOVERSION`, builds the parts.
fn is_new_enough(version: &str) -> bool {
    // What a developer of Go built from the newest sources.
    version.starts_with("devel ") || parse(version).is_some_and(|version| version >= OLDEST)
}

/// `go1.26.8` is (1, 26), and so is `go1.26rc1`.
fn parse(version: &str) -> Option<(u32, u32)> {
    let (major, rest) = version.strip_prefix("go")?.split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Writes sources of a module into a folder where Go may change them.
pub(super) fn write_module(folder: &Path, files: &[(&str, &str)]) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The version at which a `go.mod` requires this module.
///
/// # Errors
/// It does not.
pub(super) fn required<'a>(go_mod: &'a str, module: &str) -> Result<&'a str> {
    let version = go_mod.lines().find_map(|line| {
        let mut words = line.trim().trim_start_matches("require ").split_whitespace();
        words.next().filter(|name| *name == module).and_then(|_| words.next())
    });
    match version {
        Some(version) => Ok(version),
        None => bail!("this go.mod requires no {module}:\n{go_mod}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_must_be_as_new_as_what_it_builds() {
        for new in ["go1.26", "go1.26.8", "go1.27rc1", "go2.0", "devel go1.28-abcdef Tue"] {
            assert!(is_new_enough(new), "{new}");
        }
        for old in ["go1.19.8", "go1.25.11", "", "go", "gccgo 12"] {
            assert!(!is_new_enough(old), "{old}");
        }
    }

    #[test]
    fn the_version_of_a_module_is_read_from_go_mod() {
        let one = "module x\n\ngo 1.26.0\n\nrequire helm.sh/helm/v4 v4.3.1\n";
        assert_eq!(required(one, "helm.sh/helm/v4").unwrap(), "v4.3.1");
        let many = "require (\n\ta.example/b v1.0.0\n\ta.example/bc v2.0.0 // indirect\n)\n";
        assert_eq!(required(many, "a.example/bc").unwrap(), "v2.0.0");
        assert!(required(many, "a.example").is_err());
    }
}
