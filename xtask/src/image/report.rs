//! What was made, for a person: a table, and what to do with it.

use super::pack::Packed;

/// The table and the next commands.
pub(super) fn report(packed: &[Packed]) -> String {
    let head = ["image", "program", "tar", "digest"].map(str::to_owned);
    let rows = packed.iter().map(|it| {
        let sizes = [it.program_bytes, it.bytes].map(megabytes);
        let [program, tar] = sizes;
        [it.name.to_string(), program, tar, it.digest.clone()]
    });
    let rows: Vec<[String; 4]> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let (name, program, tar) = (width(0), width(1), width(2));
    let mut text = String::new();
    for row in &rows {
        text += &format!("{:name$}  {:>program$}  {:>tar$}  {}\n", row[0], row[1], row[2], row[3]);
    }
    for it in packed {
        let path = it.path.display();
        text += &format!(
            "\n{path}, and what is in it: {sbom}\n\
             \x20 on a node with containerd  ctr --namespace k8s.io images import {path}\n\
             \x20 with Docker or Podman      docker load --input {path}\n\
             \x20 in a cluster of kind       kind load image-archive {path}\n",
            sbom = it.path.with_extension("cdx.json").display(),
        );
    }
    text
}

/// As images' sizes are told: a megabyte is a million bytes.
fn megabytes(bytes: u64) -> String {
    let tenths = bytes.div_ceil(100_000);
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Name;

    #[test]
    fn the_table_names_sizes_and_digest_and_then_the_next_commands() {
        let packed = Packed {
            name: Name::new("obit", "0.1.0"),
            path: "target/images/obit-0.1.0.tar".into(),
            bytes: 5_010_000,
            program_bytes: 12_600_000,
            digest: "sha256:abc".to_owned(),
        };
        let text = report(&[packed]);
        let start = "image       program     tar  digest\nobit:0.1.0  12.6 MB  5.1 MB  sha256:abc\n\n\
                     target/images/obit-0.1.0.tar, and what is in it: target/images/obit-0.1.0.cdx.json\n";
        assert!(text.starts_with(start), "{text}");
        assert!(text.contains("ctr --namespace k8s.io images import target/images/obit-0.1.0.tar\n"));
        assert!(text.contains("docker load --input target/images/obit-0.1.0.tar\n"));
        assert!(text.contains("kind load image-archive target/images/obit-0.1.0.tar\n"));
    }
}
