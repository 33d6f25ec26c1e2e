//! Programs whose modules are in `e2e/parts`: CoreDNS, Helm, and the process that holds a pod's namespaces.

use std::path::Path;

use anyhow::Result;

use super::go::{self, Build, Go, required, write_module};
use super::parts::{BINARIES, Part};

/// A program and the module that builds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Program {
    /// Its name, and its file's.
    pub(super) name: &'static str,
    title: &'static str,
    /// The module that its version is that of; none if it is ours.
    upstream: Option<&'static str>,
    /// The import path of the program.
    package: &'static str,
    files: &'static [(&'static str, &'static str)],
}

pub(super) const COREDNS: Program = Program {
    name: "coredns",
    title: "CoreDNS",
    upstream: Some("github.com/coredns/coredns"),
    package: ".",
    files: &[
        ("go.mod", include_str!("../../../e2e/parts/coredns/go.mod")),
        ("main.go", include_str!("../../../e2e/parts/coredns/main.go")),
    ],
};

pub(super) const HELM: Program = Program {
    name: "helm",
    title: "Helm",
    upstream: Some("helm.sh/helm/v4"),
    package: "helm.sh/helm/v4/cmd/helm",
    files: &[("go.mod", include_str!("../../../e2e/parts/helm/go.mod"))],
};

pub(super) const PAUSE: Program = Program {
    name: "pause",
    title: "pause",
    upstream: None,
    package: ".",
    files: &[
        ("go.mod", include_str!("../../../e2e/parts/pause/go.mod")),
        ("main.go", include_str!("../../../e2e/parts/pause/main.go")),
    ],
};

impl Program {
    /// It is made again when a file of its module changes.
    pub(super) fn part(&self) -> Part {
        let files = self.files.iter().map(|(name, text)| format!("{name}:\n{text}"));
        let recipe = format!("{} of\n{}{}", self.package, files.collect::<String>(), go::recipe());
        Part::program(self.name, recipe)
    }

    /// Builds it into `aside`.
    pub(super) fn build(&self, go: &Go, aside: &Path) -> Result<()> {
        let module = aside.join("module");
        write_module(&module, self.files)?;
        go.build(&Build {
            title: &self.full_name()?,
            module: &module,
            packages: &[self.package.to_owned()],
            set: &[],
            out: &aside.join(BINARIES),
        })
    }

    /// Its name and the version that its module asks for.
    fn full_name(&self) -> Result<String> {
        let files = self.files.iter().find(|(name, _)| *name == "go.mod");
        match (self.upstream, files) {
            (Some(upstream), Some((_, go_mod))) => {
                let version = required(go_mod, upstream)?;
                Ok(format!("{} {}", self.title, version.trim_start_matches('v')))
            }
            _ => Ok(self.title.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_go_mod_names_the_version_of_what_it_builds() {
        for (program, name) in [(COREDNS, "CoreDNS "), (HELM, "Helm "), (PAUSE, "pause")] {
            let full = program.full_name().unwrap();
            assert!(full.starts_with(name), "{full}");
        }
    }

    #[test]
    fn a_change_of_a_source_makes_the_program_anew() {
        let changed = Program {
            files: &[("go.mod", "module x"), ("main.go", "package main // other")],
            ..COREDNS
        };
        assert_ne!(changed.part().recipe, COREDNS.part().recipe);
        assert_eq!(changed.part().makes, COREDNS.part().makes);
    }
}
