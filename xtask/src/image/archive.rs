//! Tar files that depend on nothing but what is in them: no times, no owners.

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};

/// A tar file of these files (path, mode, content), in this order.
pub(super) fn tar(files: &[(&str, u32, &[u8])]) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for &(path, mode, bytes) in files {
        // 1970 and root, because nothing else is set.
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(bytes.len() as u64);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        archive
            .append_data(&mut header, path, bytes)
            .with_context(|| format!("{path} does not fit into a tar file"))?;
    }
    archive.into_inner().context("cannot end a tar file")
}

/// The same bytes compressed, without a time or a file's name.
pub(super) fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    use std::io::Write;
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(bytes).context("cannot compress")?;
    encoder.finish().context("cannot compress")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_file_in_it_belongs_to_root_and_is_of_1970() {
        let bytes = tar(&[("obit", 0o755, b"program")]).unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut entries = archive.entries().unwrap();
        let mut entry = entries.next().unwrap().unwrap();
        let header = entry.header().clone();
        assert_eq!(&*entry.path_bytes(), b"obit");
        assert_eq!(
            (header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap()),
            (0o755, 0, 0)
        );
        assert_eq!((header.mtime().unwrap(), header.username().unwrap()), (0, Some("")));
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        assert_eq!(content, b"program");
        assert!(entries.next().is_none());
    }

    #[test]
    fn what_is_compressed_has_neither_time_nor_name() {
        let bytes = gzip(b"program").unwrap();
        // RFC 1952, 2.3: flags, time, then what compressed it (2 is "as well as possible") and on which system (255 is unknown).
        assert_eq!(bytes[3..10], [0, 0, 0, 0, 0, 2, 255]);
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&bytes[..])
            .read_to_end(&mut plain)
            .unwrap();
        assert_eq!(plain, b"program");
    }
}
