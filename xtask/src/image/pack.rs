//! Packs one static program into an image that containerd, Docker, Podman and skopeo load.
//!
//! The file is an OCI image layout (`image-layout.md` of the specification) in a tar file, with the `manifest.json` beside it that
//! Docker reads that is older than 25. The same program under the same name gives the same bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::blob::{Blob, sha256};
use super::name::Name;
use super::{archive, static_elf};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The time of everything in an image: an image of the same content is the same image, whenever it was made.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// What an image's tar file may weigh, in bytes: a node pulls it before anything there is watched.
const LIMIT: u64 = 20_000_000;

/// What is to be packed.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) name: Name,
    /// The static program: the only file in the image, in its root folder, under its own name, and the entry point.
    pub(crate) program: PathBuf,
    /// What follows the program's name when nobody says otherwise.
    pub(crate) command: Vec<String>,
    /// Who it runs as when nobody says otherwise, e.g. `65532:65532`. Numbers, for the image knows no names.
    pub(crate) user: String,
    /// Told of the image; of the kind `org.opencontainers.image.title`.
    pub(crate) labels: BTreeMap<String, String>,
}

/// What was packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) name: Name,
    /// The tar file, and its size in bytes.
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// The size of the program in it, in bytes.
    pub(crate) program_bytes: u64,
    /// The manifest's digest, `sha256:…`: what containerd and a registry know the image by.
    pub(crate) digest: String,
}

/// Packs the image into a tar file there. A half-written file is never seen there.
///
/// # Errors
/// When the program cannot be read or is not static, when the file cannot be written, or when it is larger than 20 MB.
pub(crate) fn pack(image: &Image, out: &Path) -> Result<Packed> {
    pack_within(LIMIT, image, out)
}

/// Like [`pack`], with another limit.
pub(super) fn pack_within(limit: u64, image: &Image, out: &Path) -> Result<Packed> {
    let from = image.program.display();
    let program = fs::read(&image.program).with_context(|| format!("cannot read {from}"))?;
    let name = image.program.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("{from} has no name that an image could use"))?;
    let layout = layout(image, name, &program).with_context(|| format!("{from} cannot be packed"))?;
    let bytes = layout.archive.len() as u64;
    ensure!(
        bytes <= limit,
        "the image {} has {bytes} bytes, and may have {limit}: the program in it has {} ({from})",
        image.name,
        program.len()
    );
    write(out, &layout.archive).with_context(|| format!("cannot write {}", out.display()))?;
    Ok(Packed {
        name: image.name.clone(),
        path: out.to_path_buf(),
        bytes,
        program_bytes: program.len() as u64,
        digest: layout.digest,
    })
}

/// Renamed into place, so that who reads it meanwhile has the old one or the new.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().context("it has no folder")?;
    fs::create_dir_all(folder)?;
    let half = path.with_extension(format!("tar.{}", std::process::id()));
    fs::write(&half, bytes)?;
    Ok(fs::rename(&half, path)?)
}

/// An image's tar file and its manifest's digest.
struct Layout {
    archive: Vec<u8>,
    digest: String,
}

fn layout(image: &Image, program_name: &str, program: &[u8]) -> Result<Layout> {
    let architecture = static_elf::architecture(program)?;
    let plain = archive::tar(&[(program_name, 0o755, program)])?;
    let config = Blob::document(
        CONFIG,
        &json!({
            "created": CREATED,
            "architecture": architecture,
            "os": "linux",
            "config": {
                "User": image.user,
                "Entrypoint": [format!("/{program_name}")],
                "Cmd": image.command,
                "WorkingDir": "/",
                "Labels": image.labels,
            },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", sha256(&plain))] },
            "history": [{ "created": CREATED, "created_by": "cargo xtask image" }],
        }),
    );
    let layer = Blob::new(LAYER, archive::gzip(&plain)?);
    let manifest = Blob::document(
        MANIFEST,
        &json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(),
            "layers": [layer.descriptor()],
            "annotations": image.labels,
        }),
    );
    let index = index(image, architecture, &manifest);
    let docker = json!([{ "Config": config.path(), "RepoTags": [image.name.to_string()], "Layers": [layer.path()] }]);
    let documents = [
        ("oci-layout", json!({ "imageLayoutVersion": "1.0.0" })),
        ("index.json", index),
        ("manifest.json", docker),
    ];
    let documents = documents.map(|(path, document)| (path.to_owned(), document.to_string().into_bytes()));
    let blobs = [manifest, config, layer].map(|blob| (blob.path(), blob));
    let digest = blobs[0].1.digest();
    let files: Vec<_> = documents
        .iter()
        .map(|(path, bytes)| (path.as_str(), 0o644, bytes.as_slice()))
        .chain(
            blobs
                .iter()
                .map(|(path, blob)| (path.as_str(), 0o644, blob.bytes.as_slice())),
        )
        .collect();
    let archive = archive::tar(&files)?;
    Ok(Layout { archive, digest })
}

/// The image's names: containerd and Podman read the first annotation, skopeo and `docker load` the second.
fn index(image: &Image, architecture: &str, manifest: &Blob) -> Value {
    let mut descriptor = manifest.descriptor();
    descriptor["platform"] = json!({ "architecture": architecture, "os": "linux" });
    descriptor["annotations"] = json!({
        "io.containerd.image.name": image.name.full(),
        "org.opencontainers.image.ref.name": image.name.tag,
    });
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor] })
}
