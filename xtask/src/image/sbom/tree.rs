//! What is linked into a program, read from what `cargo tree` prints.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};

/// How `cargo tree` is to print a package for [`parse`]: after its depth, the package, its licence and its repository.
pub(super) const FORMAT: &str = "{p}|{l}|{r}";

/// A package of Cargo's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    /// As its manifest says it; empty where it says none.
    pub(super) licence: String,
    pub(super) repository: String,
}

/// Packages, and which of them each needs. By name and version: of two packages with both in common only one can be linked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Linked {
    pub(super) packages: BTreeSet<Package>,
    pub(super) needs: BTreeMap<(String, String), BTreeSet<(String, String)>>,
}

impl Package {
    pub(super) fn key(&self) -> (String, String) {
        (self.name.clone(), self.version.clone())
    }
}

impl Linked {
    /// Adds what another tree has.
    pub(super) fn absorb(&mut self, other: Self) {
        self.packages.extend(other.packages);
        for (key, needs) in other.needs {
            self.needs.entry(key).or_default().extend(needs);
        }
    }
}

/// The tree below this package, among those that `cargo tree --prefix depth` printed.
///
/// # Errors
/// When a line is not as [`FORMAT`] says, or the package is not there.
pub(super) fn parse(printed: &str, root: &str) -> Result<Linked> {
    let mut linked = Linked::default();
    // From the root to the line at hand.
    let mut path: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in printed.lines().filter(|line| !line.is_empty()) {
        let (depth, package) = read(line).with_context(|| format!("`cargo tree` printed `{line}`"))?;
        if depth == 0 {
            inside = package.name == root;
        }
        if !inside {
            continue;
        }
        ensure!(depth <= path.len(), "`cargo tree` left out who needs `{line}`");
        path.truncate(depth);
        let key = package.key();
        if let Some(parent) = path.last() {
            linked.needs.entry(parent.clone()).or_default().insert(key.clone());
        }
        path.push(key);
        linked.packages.insert(package);
    }
    ensure!(!linked.packages.is_empty(), "`cargo tree` printed nothing of {root}");
    Ok(linked)
}

/// A line: `3tokio v1.54.0|MIT|https://…`, with ` (*)` at its end where what the package needs has been printed before.
fn read(line: &str) -> Result<(usize, Package)> {
    let start = line.find(|c: char| !c.is_ascii_digit()).context("no package")?;
    let (depth, rest) = line.split_at(start);
    let mut parts = rest.trim_end_matches(" (*)").split('|');
    let mut next = || parts.next().context("a part is missing");
    let (package, licence, repository) = (next()?, next()?, next()?);
    // After the version there may be the folder, for packages of the workspace.
    let mut words = package.split(' ');
    let name = words.next().context("no name")?;
    let version = words
        .next()
        .and_then(|word| word.strip_prefix('v'))
        .context("no version")?;
    let package = Package {
        name: name.to_owned(),
        version: version.to_owned(),
        licence: licence.to_owned(),
        repository: repository.to_owned(),
    };
    Ok((depth.parse().context("no depth")?, package))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "\
0app v0.1.0 (/home/me/app)|MIT|https://app.example
1one v1.0.0|MIT|https://one.example
2common v2.1.0|MIT/Apache-2.0|
1two v1.0.0||
2one v1.0.0|MIT|https://one.example (*)
1common v1.9.0|MIT/Apache-2.0|

0other v0.1.0 (/home/me/other)|MIT|
1third v1.0.0|MIT|
";

    fn key(name: &str, version: &str) -> (String, String) {
        (name.to_owned(), version.to_owned())
    }

    #[test]
    fn a_tree_is_who_needs_whom_and_ends_where_the_next_begins() {
        let linked = parse(PRINTED, "app").unwrap();
        let names: Vec<_> = linked
            .packages
            .iter()
            .map(|it| format!("{} {}", it.name, it.version))
            .collect();
        assert_eq!(
            names,
            ["app 0.1.0", "common 1.9.0", "common 2.1.0", "one 1.0.0", "two 1.0.0"]
        );
        assert_eq!(
            linked.needs[&key("app", "0.1.0")],
            BTreeSet::from([key("one", "1.0.0"), key("two", "1.0.0"), key("common", "1.9.0")])
        );
        assert_eq!(
            linked.needs[&key("one", "1.0.0")],
            BTreeSet::from([key("common", "2.1.0")])
        );
        assert_eq!(
            linked.needs[&key("two", "1.0.0")],
            BTreeSet::from([key("one", "1.0.0")])
        );
        assert_eq!(parse(PRINTED, "other").unwrap().packages.len(), 2);
    }

    #[test]
    fn a_package_that_was_not_printed_and_a_line_of_another_form_are_errors() {
        assert!(parse(PRINTED, "absent").is_err());
        assert!(parse("0app v0.1.0", "app").is_err());
        assert!(parse("app v0.1.0|MIT|", "app").is_err());
        assert!(parse("0app v0.1.0|MIT|\n2deep v1.0.0|MIT|", "app").is_err());
    }
}
