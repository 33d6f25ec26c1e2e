//! Finds the type information (BTF) in a kernel's image: in the file a boot loader takes, compressed, or in an ELF file.

use anyhow::{Context, Result, bail, ensure};
use object::{Object, ObjectSection};

/// Where the boot protocol (`Documentation/arch/x86/boot.rst`) keeps what is needed.
mod at {
    pub(super) const SETUP_SECTORS: usize = 0x1f1;
    pub(super) const MARK: usize = 0x202;
    pub(super) const PAYLOAD_OFFSET: usize = 0x248;
    pub(super) const PAYLOAD_LENGTH: usize = 0x24c;
}

/// What an LZ4 stream of the kernel's kind begins with, and the size of a block of it once decompressed.
const LZ4_LEGACY: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
const LZ4_BLOCK: usize = 8 << 20;
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The type information in a file: a kernel's image (`vmlinuz`, `vmlinux`), or type information already.
pub(crate) fn type_information(file: &[u8]) -> Result<Vec<u8>> {
    if file.starts_with(&0xeb9f_u16.to_ne_bytes()) {
        return Ok(file.to_vec());
    }
    if file.get(at::MARK..at::MARK + 4) == Some(b"HdrS") {
        return btf_section(&decompress(payload(file)?)?);
    }
    btf_section(file)
}

fn btf_section(elf: &[u8]) -> Result<Vec<u8>> {
    let file = object::File::parse(elf).context("neither a kernel's image nor an ELF file nor type information")?;
    let section = file.section_by_name(".BTF");
    let section = section.context("the kernel has no section .BTF: it was built without CONFIG_DEBUG_INFO_BTF")?;
    Ok(section.data()?.to_vec())
}

/// The compressed kernel in what a boot loader takes.
fn payload(image: &[u8]) -> Result<&[u8]> {
    let word = |at: usize| -> Result<usize> {
        let bytes = image
            .get(at..)
            .and_then(<[u8]>::first_chunk)
            .context("the image is cut off")?;
        Ok(u32::from_le_bytes(*bytes) as usize)
    };
    let setup = usize::from(*image.get(at::SETUP_SECTORS).context("the image is cut off")?);
    let start = (setup + 1) * 512 + word(at::PAYLOAD_OFFSET)?;
    let end = start + word(at::PAYLOAD_LENGTH)?;
    image.get(start..end).context("the image is cut off")
}

fn decompress(payload: &[u8]) -> Result<Vec<u8>> {
    // The size of what was compressed follows it.
    let (compressed, size) = payload.split_last_chunk::<4>().context("the image is cut off")?;
    let size = u32::from_le_bytes(*size) as usize;
    let out = match compressed.first_chunk() {
        Some(&LZ4_LEGACY) => lz4_legacy(compressed.get(4..).unwrap_or_default())?,
        Some(&ZSTD) => zstd(compressed, size)?,
        other => bail!(
            "the kernel is compressed in an unknown way (it begins with {other:02x?}); known are LZ4 and Zstandard"
        ),
    };
    ensure!(
        out.len() == size,
        "{} bytes came out of the kernel's image, not {size}",
        out.len()
    );
    Ok(out)
}

/// Blocks, each after its size.
fn lz4_legacy(mut blocks: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    while let Some((size, rest)) = blocks.split_first_chunk::<4>() {
        let (block, rest) = rest
            .split_at_checked(u32::from_le_bytes(*size) as usize)
            .context("the image is cut off")?;
        let mut plain = vec![0; LZ4_BLOCK];
        let length = lz4_flex::block::decompress_into(block, &mut plain).context("the kernel's image is corrupted")?;
        out.extend(plain.get(..length).unwrap_or_default());
        blocks = rest;
    }
    Ok(out)
}

fn zstd(compressed: &[u8], size: usize) -> Result<Vec<u8>> {
    use std::io::Read;
    let mut out = Vec::with_capacity(size);
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(compressed).context("the kernel's image is corrupted")?;
    decoder
        .read_to_end(&mut out)
        .context("the kernel's image is corrupted")?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_information_is_taken_as_it_is() {
        let bytes = [&0xeb9f_u16.to_ne_bytes()[..], b"the rest"].concat();
        assert_eq!(type_information(&bytes).unwrap(), bytes);
    }

    #[test]
    fn an_image_cut_off_anywhere_is_an_error() {
        let mut image = vec![0; 1024];
        image[at::MARK..at::MARK + 4].copy_from_slice(b"HdrS");
        image[at::PAYLOAD_LENGTH..at::PAYLOAD_LENGTH + 4].copy_from_slice(&256_u32.to_le_bytes());
        image[512..516].copy_from_slice(&LZ4_LEGACY);
        for length in 0..image.len() {
            assert!(type_information(&image[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn an_lz4_stream_is_its_blocks_in_a_row() {
        let blocks: Vec<u8> = [&b"one, "[..], b"two"]
            .into_iter()
            .flat_map(|plain| {
                let block = lz4_flex::block::compress(plain);
                let size = u32::try_from(block.len()).unwrap();
                [size.to_le_bytes().to_vec(), block].concat()
            })
            .collect();
        assert_eq!(lz4_legacy(&blocks).unwrap(), b"one, two");
        assert!(lz4_legacy(&blocks[..blocks.len() - 1]).is_err());
    }
}
