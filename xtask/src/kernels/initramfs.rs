//! Puts together what the virtual machine boots: an archive with the tests, the commands they run, and an init.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cpio::newc::{Builder, trailer};

use super::build::{Built, LEFT_OUT};
use super::debian::Packages;
use super::modules;
use crate::command::find_program;

const INIT: &str = include_str!("init.sh");

/// The commands the tests run. They come from this machine, with their libraries and loader.
const COMMANDS: [&str; 3] = ["ip", "nft", "ss"];

/// Folders that init needs, mostly to mount something at.
const FOLDERS: [&str; 5] = ["proc", "sys", "dev", "tmp", "run"];

const FOLDER: u32 = 0o040_755;
const EXECUTABLE: u32 = 0o100_755;

/// Writes the archive, and says where.
pub(crate) fn pack(packages: &Packages, built: &Built) -> Result<PathBuf> {
    let path = packages.folder.join("initramfs.cpio");
    let out = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut archive = Archive::new(std::io::BufWriter::new(out));
    for folder in FOLDERS {
        archive.folder(folder)?;
    }
    archive.file("init", INIT.as_bytes())?;
    archive.file("left-out", format!("{}\n", LEFT_OUT.join("\n")).as_bytes())?;
    archive.copy("bin/busybox", &packages.busybox())?;
    for name in COMMANDS {
        let program = find_program(name).with_context(|| format!("`{name}` is not installed here"))?;
        archive.copy(&format!("usr/sbin/{name}"), &program)?;
        for library in libraries(&program)? {
            archive.copy_in_place(&library)?;
        }
    }
    let modules = modules::gather(&packages.modules(), &packages.busybox())?;
    let names: Vec<_> = modules.iter().map(|module| module.name.as_str()).collect();
    archive.file("modules/order", names.join("\n").as_bytes())?;
    for module in &modules {
        archive.file(&format!("modules/{}.ko", module.name), &module.bytes)?;
    }
    for test in &built.tests {
        archive.copy(&format!("tests/{}", test.name), &test.path)?;
    }
    for program in &built.programs {
        archive.copy_in_place(&program.path)?;
    }
    archive.end()?;
    Ok(path)
}

/// An archive being written. Every folder and file is in it once.
struct Archive<W: Write> {
    out: W,
    written: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    fn new(out: W) -> Self {
        Self {
            out,
            written: BTreeSet::new(),
        }
    }

    fn copy(&mut self, name: &str, from: &Path) -> Result<()> {
        let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        self.file(name, &bytes)
    }

    /// To the path it has here.
    fn copy_in_place(&mut self, path: &Path) -> Result<()> {
        self.copy(path.to_string_lossy().trim_start_matches('/'), path)
    }

    fn file(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        if let Some((folder, _)) = name.rsplit_once('/') {
            self.folder(folder)?;
        }
        self.entry(name, EXECUTABLE, bytes)
    }

    /// The folder and those it is in.
    fn folder(&mut self, name: &str) -> Result<()> {
        if let Some((outer, _)) = name.rsplit_once('/') {
            self.folder(outer)?;
        }
        self.entry(name, FOLDER, &[])
    }

    fn entry(&mut self, name: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        if !self.written.insert(name.to_owned()) {
            return Ok(());
        }
        let inode = u32::try_from(self.written.len())?;
        let entry = Builder::new(name).mode(mode).ino(inode).nlink(1);
        let mut writer = entry.write(&mut self.out, u32::try_from(bytes.len())?);
        std::io::copy(&mut Cursor::new(bytes), &mut writer)?;
        writer.finish()?;
        Ok(())
    }

    fn end(self) -> Result<()> {
        trailer(self.out)?.flush()?;
        Ok(())
    }
}

/// The libraries a program loads, and the loader.
fn libraries(program: &Path) -> Result<BTreeSet<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("ldd")?;
    ensure!(output.status.success(), "ldd {} failed", program.display());
    Ok(libraries_in(&String::from_utf8_lossy(&output.stdout)))
}

fn libraries_in(printed: &str) -> BTreeSet<PathBuf> {
    let words = printed.split_whitespace();
    words.filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_libraries_are_every_path_that_ldd_prints() {
        let printed = "\tlinux-vdso.so.1 (0x00007f32d69ba000)\n\
                       \tlibmnl.so.0 => /lib/x86_64-linux-gnu/libmnl.so.0 (0x00007f32d66a3000)\n\
                       \t/lib64/ld-linux-x86-64.so.2 (0x00007f32d69bc000)\n";
        let found: Vec<_> = libraries_in(printed).into_iter().collect();
        assert_eq!(
            found,
            [
                PathBuf::from("/lib/x86_64-linux-gnu/libmnl.so.0"),
                PathBuf::from("/lib64/ld-linux-x86-64.so.2")
            ]
        );
    }

    #[test]
    fn every_file_comes_after_its_folder_and_once() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.file("usr/sbin/ip", b"one").unwrap();
        archive.file("usr/sbin/ss", b"two").unwrap();
        archive.file("usr/sbin/ip", b"again").unwrap();
        archive.end().unwrap();
        let (mut names, mut left) = (Vec::new(), bytes.as_slice());
        loop {
            let reader = cpio::NewcReader::new(left).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            names.push(reader.entry().name().to_owned());
            left = reader.finish().unwrap();
        }
        assert_eq!(names, ["usr", "usr/sbin", "usr/sbin/ip", "usr/sbin/ss"]);
    }
}
