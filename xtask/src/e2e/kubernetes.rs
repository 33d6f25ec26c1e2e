//! Kubernetes itself, from the module it is published as.
//!
//! That module names the parts it is made of (`k8s.io/api` and 32 more) by folders of its own repository, which the published
//! one does not have. Each is published beside it, at v0 instead of v1: a `go.mod` of ours says so.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::go::{self, Build, Go, write_module};
use super::parts::{BINARIES, Part};

/// The version, without the `v`.
pub(super) const VERSION: &str = "1.37.2";

const MODULE: &str = "k8s.io/kubernetes";

/// What a cluster runs.
const PROGRAMS: [&str; 5] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
];

/// What drives it: needed also where the cluster is somebody else's.
pub(super) const KUBECTL: &str = "kubectl";

/// Where the version is kept that the API server tells; without it clients cannot read that answer.
const VERSIONS: [&str; 2] = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"];

/// The programs of a cluster.
pub(super) fn part() -> Part {
    Part {
        name: "kubernetes",
        recipe: recipe(&PROGRAMS),
        makes: PROGRAMS.iter().map(|name| Path::new(BINARIES).join(name)).collect(),
    }
}

/// `kubectl`.
pub(super) fn kubectl() -> Part {
    Part::program(KUBECTL, recipe(&[KUBECTL]))
}

/// Builds the programs of a cluster into `aside`.
pub(super) fn build(go: &Go, aside: &Path) -> Result<()> {
    build_these(go, &format!("Kubernetes {VERSION}"), &PROGRAMS, aside)
}

/// Builds `kubectl` into `aside`.
pub(super) fn build_kubectl(go: &Go, aside: &Path) -> Result<()> {
    build_these(go, &format!("kubectl {VERSION}"), &[KUBECTL], aside)
}

fn recipe(programs: &[&str]) -> String {
    format!(
        "{MODULE} v{VERSION}: {}\n{}{}\n",
        programs.join(" "),
        go::recipe(),
        set(VERSION).join(" ")
    )
}

fn build_these(go: &Go, title: &str, programs: &[&str], aside: &Path) -> Result<()> {
    let module = aside.join("module");
    write_module(&module, &[])?;
    let published = go.published(MODULE, &format!("v{VERSION}"))?;
    write_module(&module, &[("go.mod", &go_mod(&published, VERSION)?)])?;
    let packages: Vec<_> = programs.iter().map(|name| format!("{MODULE}/cmd/{name}")).collect();
    go.build(&Build {
        title,
        module: &module,
        packages: &packages,
        set: &set(VERSION),
        out: &aside.join(BINARIES),
    })
}

/// The variables that hold the version.
fn set(version: &str) -> Vec<String> {
    let mut numbers = version.split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let of = |package: &&str| {
        [
            format!("{package}.gitVersion=v{version}"),
            format!("{package}.gitMajor={major}"),
            format!("{package}.gitMinor={minor}"),
            format!("{package}.gitTreeState=clean"),
        ]
    };
    VERSIONS.iter().flat_map(of).collect()
}

/// A `go.mod` that builds this version of Kubernetes, from the one it was published with.
///
/// # Errors
/// The version is not of the form 1.2.3, or the published file has no such parts as it always had.
fn go_mod(published: &str, version: &str) -> Result<String> {
    let rest = version
        .strip_prefix("1.")
        .with_context(|| format!("`{version}` is no version 1 of Kubernetes"))?;
    let line = |start: &str| published.lines().find(|line| line.starts_with(start));
    let go = line("go ").context("the go.mod of Kubernetes names no version of Go")?;
    let mut text = format!("module obit-e2e.local/kubernetes\n\n{go}\n\n");
    // Which of Go's behaviours it was tested with.
    if let Some(behaviour) = line("godebug ") {
        text += &format!("{behaviour}\n\n");
    }
    text += &format!("require {MODULE} v{version}\n\nreplace (\n");
    let parts: Vec<_> = published.lines().filter_map(part_in).collect();
    ensure!(
        !parts.is_empty(),
        "the go.mod of Kubernetes v{version} replaces no module by a folder of its own: it is put together in another way now"
    );
    for part in parts {
        text += &format!("\t{part} => {part} v0.{rest}\n");
    }
    Ok(text + ")\n")
}

/// The module in a line such as `k8s.io/api => ./staging/src/k8s.io/api`.
fn part_in(line: &str) -> Option<&str> {
    let (module, folder) = line.trim().trim_start_matches("replace ").split_once(" => ")?;
    folder.starts_with("./staging/").then_some(module)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cut from what k8s.io/kubernetes v1.37.2 was published with.
    const PUBLISHED: &str = "\
// This is a generated file. Do not edit directly.

module k8s.io/kubernetes

go 1.26.0

godebug default=go1.26

require (
	github.com/blang/semver/v4 v4.0.0
	k8s.io/api v0.0.0
	k8s.io/apimachinery v0.0.0
	k8s.io/klog/v2 v2.140.0
)

require (
	github.com/beorn7/perks v1.0.1 // indirect
)

replace (
	k8s.io/api => ./staging/src/k8s.io/api
	k8s.io/apimachinery => ./staging/src/k8s.io/apimachinery
)
";

    #[test]
    fn every_folder_of_the_published_module_becomes_the_module_published_beside_it() {
        let written = go_mod(PUBLISHED, "1.37.2").unwrap();
        let expected = "\
module obit-e2e.local/kubernetes

go 1.26.0

godebug default=go1.26

require k8s.io/kubernetes v1.37.2

replace (
	k8s.io/api => k8s.io/api v0.37.2
	k8s.io/apimachinery => k8s.io/apimachinery v0.37.2
)
";
        assert_eq!(written, expected);
    }

    #[test]
    fn a_module_that_is_put_together_in_another_way_is_an_error_and_not_a_wrong_build() {
        assert!(go_mod("module k8s.io/kubernetes\n\ngo 1.26.0\n", "1.37.2").is_err());
        assert!(go_mod(&PUBLISHED.replace("go 1.26.0", ""), "1.37.2").is_err());
        assert!(go_mod(PUBLISHED, "2.0.0").is_err());
    }

    #[test]
    fn the_version_is_set_wherever_it_is_kept() {
        let set = set("1.37.2");
        assert_eq!(set.len(), 8);
        assert_eq!(set[0], "k8s.io/component-base/version.gitVersion=v1.37.2");
        assert_eq!(set[6], "k8s.io/client-go/pkg/version.gitMinor=37");
    }

    #[test]
    fn kubectl_is_a_part_of_its_own() {
        assert!(!part().makes.contains(&kubectl().makes[0]));
        assert_ne!(part().recipe, kubectl().recipe);
    }
}
