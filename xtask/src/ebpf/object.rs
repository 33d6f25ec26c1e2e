//! Reads ELF files: the programs in our object, the LLVM a linker loads.

use anyhow::{Context, Result, ensure};
use object::read::elf::{Dyn, ElfFile64};
use object::{Architecture, Object, ObjectSection, ObjectSymbol, SymbolKind, elf};

/// The sections of an eBPF object that hold programs, sorted. A program's section names its type and where it attaches.
pub(super) fn programs(bytes: &[u8]) -> Result<Vec<String>> {
    let file = object::File::parse(bytes).context("not an ELF file")?;
    ensure!(
        file.architecture() == Architecture::Bpf,
        "built for {:?}",
        file.architecture()
    );
    let mut programs = Vec::new();
    for symbol in file
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_global())
    {
        let Some(index) = symbol.section_index() else { continue };
        let section = file.section_by_index(index)?.name()?.to_owned();
        // Functions the programs call lie in .text.
        if section != ".text" && !programs.contains(&section) {
            programs.push(section);
        }
    }
    programs.sort();
    Ok(programs)
}

/// The major version of the shared LLVM an executable loads (`libLLVM.so.22.1` → 22).
pub(super) fn llvm_linked(bytes: &[u8]) -> Option<u32> {
    let file = ElfFile64::<object::Endianness>::parse(bytes).ok()?;
    let endian = file.endian();
    let sections = file.elf_section_table();
    let (entries, strings) = sections.dynamic(endian, bytes).ok()??;
    let strings = sections.strings(endian, bytes, strings).ok()?;
    entries
        .iter()
        .filter(|entry| entry.tag(endian) == elf::DT_NEEDED)
        .filter_map(|entry| entry.string(endian, strings).ok())
        .find_map(|name| llvm_of_library(std::str::from_utf8(name).ok()?))
}

/// The major version in a library's name: `libLLVM.so.22.1`, or `libLLVM-17.so` as it was before 18.
fn llvm_of_library(name: &str) -> Option<u32> {
    let version = name
        .strip_prefix("libLLVM.so.")
        .or_else(|| name.strip_prefix("libLLVM-"))?;
    version.split(['.', '-']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_of_a_linker_is_in_the_name_of_its_library() {
        assert_eq!(llvm_of_library("libLLVM.so.22.1"), Some(22));
        assert_eq!(llvm_of_library("libLLVM-17.so.1"), Some(17));
        assert_eq!(llvm_of_library("libc.so.6"), None);
    }

    #[test]
    fn this_test_is_an_elf_file_that_loads_no_llvm_and_is_no_ebpf_object() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(llvm_linked(&own), None);
        assert!(programs(&own).is_err());
        assert!(programs(b"garbage").is_err());
    }
}
