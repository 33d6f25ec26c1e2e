//! What is in an image's tar file, read back.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use object::elf;
use serde_json::{Value, json};

use super::blob::sha256;
use super::pack::pack_within;
use super::static_elf::tests::elf_with_segment;
use super::{Image, MONITOR, Name, Packed, pack};

/// A folder with a program that passes for a static one.
fn folder_with_program(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), elf_with_segment(elf::PT_LOAD, elf::EM_X86_64)).unwrap();
    folder
}

fn packed_monitor(folder: &Path) -> Packed {
    let image = MONITOR.image(folder.join("obit"));
    pack(&image, &folder.join("images/obit.tar")).unwrap()
}

/// The files of a tar file, in their order.
fn files(tar: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (String::from_utf8(entry.path_bytes().to_vec()).unwrap(), bytes)
    });
    entries.collect()
}

/// A packed image, by its files' paths.
struct Opened(BTreeMap<String, Vec<u8>>);

impl Opened {
    fn new(packed: &Packed) -> Self {
        Self(files(&fs::read(&packed.path).unwrap()).into_iter().collect())
    }

    fn document(&self, path: &str) -> Value {
        serde_json::from_slice(&self.0[path]).unwrap()
    }

    /// The blob a descriptor means, if it has that size and digest.
    fn blob(&self, descriptor: &Value) -> &[u8] {
        let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let bytes = &self.0[&format!("blobs/sha256/{digest}")];
        assert_eq!(sha256(bytes), digest);
        assert_eq!(descriptor["size"], json!(bytes.len()));
        bytes
    }
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}

#[test]
fn the_same_program_is_the_same_image_wherever_and_whenever_it_is_packed() {
    let (one, two) = (folder_with_program("obit"), folder_with_program("obit"));
    let later = std::time::UNIX_EPOCH + std::time::Duration::from_secs(86_400);
    let program = fs::File::options().write(true).open(two.path().join("obit")).unwrap();
    program.set_modified(later).unwrap();
    let (one, two) = (packed_monitor(one.path()), packed_monitor(two.path()));
    assert_eq!(one.digest, two.digest);
    assert!(fs::read(one.path).unwrap() == fs::read(two.path).unwrap());
}

#[test]
fn another_program_is_another_image() {
    let (one, two) = (folder_with_program("obit"), folder_with_program("obit"));
    let mut other = fs::read(two.path().join("obit")).unwrap();
    other.push(0);
    fs::write(two.path().join("obit"), other).unwrap();
    assert_ne!(packed_monitor(one.path()).digest, packed_monitor(two.path()).digest);
}

#[test]
fn whatever_is_named_by_a_digest_is_there_and_has_it() {
    let folder = folder_with_program("obit");
    let packed = packed_monitor(folder.path());
    let opened = Opened::new(&packed);
    assert_eq!(opened.document("oci-layout"), json!({ "imageLayoutVersion": "1.0.0" }));
    let index = opened.document("index.json");
    let descriptor = &index["manifests"][0];
    assert_eq!(descriptor["digest"], json!(packed.digest));
    assert_eq!(
        descriptor["platform"],
        json!({ "architecture": "amd64", "os": "linux" })
    );
    let manifest = parse(opened.blob(descriptor));
    let config = parse(opened.blob(&manifest["config"]));
    let layer = gunzip(opened.blob(&manifest["layers"][0]));
    assert_eq!(
        config["rootfs"]["diff_ids"],
        json!([format!("sha256:{}", sha256(&layer))])
    );
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    // Three documents and the three blobs: nothing is there that nobody names.
    assert_eq!(opened.0.len(), 6);
}

#[test]
fn the_layer_holds_the_program_and_nothing_else() {
    let folder = folder_with_program("obit");
    let packed = packed_monitor(folder.path());
    let opened = Opened::new(&packed);
    let manifest = parse(opened.blob(&opened.document("index.json")["manifests"][0]));
    let layer = files(&gunzip(opened.blob(&manifest["layers"][0])));
    let program = fs::read(folder.path().join("obit")).unwrap();
    assert_eq!(packed.program_bytes, program.len() as u64);
    assert!(layer == [("obit".to_owned(), program)]);
}

#[test]
fn the_monitor_starts_as_a_user_without_rights() {
    let folder = folder_with_program("obit");
    let opened = Opened::new(&packed_monitor(folder.path()));
    let manifest = parse(opened.blob(&opened.document("index.json")["manifests"][0]));
    let config = parse(opened.blob(&manifest["config"]))["config"].clone();
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], json!(["/obit"]));
    assert_eq!(config["Cmd"], json!(["monitor"]));
    assert_eq!(config["Labels"]["org.opencontainers.image.title"], "obit");
    assert_eq!(
        config["Labels"]["org.opencontainers.image.licenses"],
        "MIT OR Apache-2.0"
    );
    assert_eq!(config["Labels"], manifest["annotations"]);
}

#[test]
fn containerd_and_docker_find_the_names_they_look_for() {
    let folder = folder_with_program("pause");
    let image = Image {
        name: Name::new("obit", "0.1.0"),
        program: folder.path().join("pause"),
        command: Vec::new(),
        user: "0:0".to_owned(),
        labels: BTreeMap::new(),
    };
    let opened = Opened::new(&pack(&image, &folder.path().join("it.tar")).unwrap());
    let annotations = &opened.document("index.json")["manifests"][0]["annotations"];
    assert_eq!(
        annotations,
        &json!({
            "io.containerd.image.name": "docker.io/library/obit:0.1.0",
            "org.opencontainers.image.ref.name": "0.1.0",
        })
    );
    let docker = opened.document("manifest.json");
    assert_eq!(docker[0]["RepoTags"], json!(["obit:0.1.0"]));
    for path in [&docker[0]["Config"], &docker[0]["Layers"][0]] {
        assert!(opened.0.contains_key(path.as_str().unwrap()), "{path}");
    }
}

#[test]
fn an_image_too_large_says_how_large_it_is_and_is_not_written() {
    let folder = folder_with_program("obit");
    let image = MONITOR.image(folder.path().join("obit"));
    let out = folder.path().join("it.tar");
    let error = pack_within(8_191, &image, &out).unwrap_err().to_string();
    let expected = "the image obit:0.1.0 has 8192 bytes, and may have 8191: the program in it has 120";
    assert!(error.starts_with(expected), "{error}");
    assert!(!out.exists());
    pack_within(8_192, &image, &out).unwrap();
}
