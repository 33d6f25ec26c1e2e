//! The kernel modules the tests need, and in what order they are loaded: what a module depends on comes first.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection};

/// Modules of Debian's kernels that are built in elsewhere: cables between namespaces, packet filters, and closing of
/// sockets from outside.
const WANTED: [&str; 5] = ["veth", "nf_tables", "nft_reject_inet", "nft_limit", "tcp_diag"];

/// One module, as it is loaded.
pub(crate) struct Module {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// The wanted modules under this folder, in an order they can be loaded in. `busybox` decompresses them.
pub(crate) fn gather(folder: &Path, busybox: &Path) -> Result<Vec<Module>> {
    let mut files = BTreeMap::new();
    list(folder, &mut files)?;
    let read = |name: &str| {
        let path = files
            .get(name)
            .with_context(|| format!("the kernel's package has no module {name}"))?;
        let bytes = read(path, busybox).with_context(|| format!("the module {name}"))?;
        let needs = needs(&bytes).with_context(|| format!("the module {name}"))?;
        Ok((bytes, needs))
    };
    in_order(&WANTED, read)
}

/// Every module's file by the module's name, which has `_` where a file's name may have `-`.
fn list(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().replace('-', "_");
        if entry.file_type()?.is_dir() {
            list(&entry.path(), files)?;
        } else if let Some((name, "ko" | "ko.xz")) = name.split_once('.') {
            files.insert(name.to_owned(), entry.path());
        }
    }
    Ok(())
}

fn read(path: &Path, busybox: &Path) -> Result<Vec<u8>> {
    if path.extension().is_none_or(|extension| extension != "xz") {
        return Ok(fs::read(path)?);
    }
    let output = Command::new(busybox).args(["xz", "-d", "-c"]).arg(path).output()?;
    ensure!(output.status.success(), "cannot decompress {}", path.display());
    Ok(output.stdout)
}

/// What a module says that it depends on.
fn needs(module: &[u8]) -> Result<Vec<String>> {
    let file = object::File::parse(module)?;
    let section = file.section_by_name(".modinfo").context("it has no .modinfo")?;
    Ok(needs_in(section.data()?))
}

fn needs_in(modinfo: &[u8]) -> Vec<String> {
    let mut entries = modinfo.split(|byte| *byte == 0);
    let depends = entries.find_map(|entry| entry.strip_prefix(b"depends="));
    String::from_utf8_lossy(depends.unwrap_or_default())
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

fn in_order(wanted: &[&str], read: impl Fn(&str) -> Result<(Vec<u8>, Vec<String>)>) -> Result<Vec<Module>> {
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    for name in wanted {
        place(name, &read, &mut seen, &mut order)?;
    }
    Ok(order)
}

fn place(
    name: &str,
    read: &impl Fn(&str) -> Result<(Vec<u8>, Vec<String>)>,
    seen: &mut BTreeSet<String>,
    order: &mut Vec<Module>,
) -> Result<()> {
    if !seen.insert(name.to_owned()) {
        return Ok(());
    }
    let (bytes, needs) = read(name)?;
    for needed in needs {
        place(&needed, read, seen, order)?;
    }
    order.push(Module {
        name: name.to_owned(),
        bytes,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_depends_on_is_loaded_before_it_and_once() {
        let read = |name: &str| {
            let needs: &[&str] = match name {
                "a" => &["b", "c"],
                "b" => &["c"],
                "c" | "d" => &[],
                other => anyhow::bail!("there is no module {other}"),
            };
            Ok((vec![], needs.iter().map(|it| (*it).to_owned()).collect()))
        };
        let order = in_order(&["a", "d"], read).unwrap();
        assert_eq!(
            order.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(),
            ["c", "b", "a", "d"]
        );
        assert!(in_order(&["e"], read).is_err());
    }

    #[test]
    fn a_modules_dependencies_are_read_from_what_it_says_of_itself() {
        assert_eq!(
            needs_in(b"license=GPL\0depends=nft-reject,nf_reject_ipv4\0retpoline=Y\0"),
            ["nft_reject", "nf_reject_ipv4"]
        );
        assert!(needs_in(b"license=GPL\0depends=\0").is_empty());
    }
}
