//! A part of an image: bytes, known by their SHA-256.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Bytes that an image's documents name by their digest.
pub(super) struct Blob {
    pub(super) kind: &'static str,
    pub(super) bytes: Vec<u8>,
    /// SHA-256 in hexadecimal digits, without `sha256:` before it.
    pub(super) hex: String,
}

impl Blob {
    /// Bytes of this media type.
    pub(super) fn new(kind: &'static str, bytes: Vec<u8>) -> Self {
        let hex = sha256(&bytes);
        Self { kind, bytes, hex }
    }

    /// A document of this media type.
    pub(super) fn document(kind: &'static str, document: &Value) -> Self {
        Self::new(kind, document.to_string().into_bytes())
    }

    /// How other documents name it.
    pub(super) fn digest(&self) -> String {
        format!("sha256:{}", self.hex)
    }

    /// Where it lies in an image's folder.
    pub(super) fn path(&self) -> String {
        format!("blobs/sha256/{}", self.hex)
    }

    /// What other documents say of it: type, digest and size (`descriptor.md` of the OCI image specification).
    pub(super) fn descriptor(&self) -> Value {
        json!({ "mediaType": self.kind, "digest": self.digest(), "size": self.bytes.len() })
    }
}

/// SHA-256 in hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_named_by_its_sha_256() {
        // The example of FIPS 180-2, appendix B.1.
        let blob = Blob::new("text/plain", b"abc".to_vec());
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(blob.path(), format!("blobs/sha256/{expected}"));
        assert_eq!(
            blob.descriptor(),
            json!({ "mediaType": "text/plain", "digest": format!("sha256:{expected}"), "size": 3 })
        );
    }
}
