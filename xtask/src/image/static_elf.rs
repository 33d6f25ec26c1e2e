//! A program that is to be all there is in an image: it must need nothing else.

use anyhow::{Context, Result, bail, ensure};
use object::read::elf::{Dyn, ElfFile64, FileHeader, ProgramHeader};
use object::{Architecture, Object, elf};

/// The processor an ELF program is for, as images name it (the names are Go's).
///
/// # Errors
/// When the bytes are no such program, or when it needs a loader or libraries: an image of one file has neither.
pub(super) fn architecture(program: &[u8]) -> Result<&'static str> {
    let file = ElfFile64::<object::Endianness>::parse(program).context("it is no ELF program of 64 bits")?;
    let (endian, header) = (file.endian(), file.elf_header());
    let kind = header.e_type(endian);
    ensure!(
        kind == elf::ET_EXEC || kind == elf::ET_DYN,
        "it is an ELF file, but no program"
    );
    for segment in file.elf_program_headers() {
        ensure!(
            segment.p_type(endian) != elf::PT_INTERP,
            "it is not static: it asks for a loader. Link it with `-C target-feature=+crt-static`"
        );
        for entry in segment.dynamic(endian, program)?.unwrap_or_default() {
            ensure!(
                entry.d_tag(endian) != elf::DT_NEEDED,
                "it is not static: it needs shared libraries. Link it with `-C target-feature=+crt-static`"
            );
        }
    }
    match file.architecture() {
        Architecture::X86_64 => Ok("amd64"),
        Architecture::Aarch64 => Ok("arm64"),
        other => bail!("images are for x86-64 and arm64, and it is for {other:?}"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The smallest file that passes for a static program: an ELF header (`elf(5)`) with one segment of this type.
    pub(crate) fn elf_with_segment(kind: u32, machine: u16) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        let halves = |file: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|it| file.extend(it.to_le_bytes()));
        let words = |file: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|it| file.extend(it.to_le_bytes()));
        let longs = |file: &mut Vec<u8>, values: &[u64]| values.iter().for_each(|it| file.extend(it.to_le_bytes()));
        halves(&mut file, &[elf::ET_EXEC, machine]);
        words(&mut file, &[1]);
        longs(&mut file, &[0, 64, 0]);
        words(&mut file, &[0]);
        halves(&mut file, &[64, 56, 1, 64, 0, 0]);
        words(&mut file, &[kind, 4]);
        longs(&mut file, &[0; 6]);
        file
    }

    #[test]
    fn a_static_program_tells_its_processor() {
        let of = |machine| architecture(&elf_with_segment(elf::PT_LOAD, machine)).unwrap();
        assert_eq!(of(elf::EM_X86_64), "amd64");
        assert_eq!(of(elf::EM_AARCH64), "arm64");
    }

    #[test]
    fn a_program_that_needs_a_loader_is_refused() {
        let error = architecture(&elf_with_segment(elf::PT_INTERP, elf::EM_X86_64)).unwrap_err();
        assert!(error.to_string().contains("asks for a loader"), "{error}");
        // This test itself is linked as usual.
        let me = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(architecture(&me).unwrap_err().to_string().contains("not static"));
    }

    #[test]
    fn what_is_no_program_is_refused() {
        assert!(architecture(b"#!/bin/sh\n").is_err());
        assert!(architecture(&elf_with_segment(elf::PT_LOAD, elf::EM_RISCV)).is_err());
    }
}
