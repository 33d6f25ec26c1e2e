//! Who may say they are whom: one authority, and a certificate for each part of the cluster.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use super::address::{API_SERVICE, CONTROL, NodeNumber};

/// Names of the API server inside a cluster.
const API_NAMES: [&str; 5] = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
];

/// The group whose members may do everything.
const ADMINS: &str = "system:masters";

/// A folder with an authority, certificates and keys: `NAME.crt`, `NAME.key`.
#[derive(Debug, Clone)]
pub(super) struct Pki {
    folder: PathBuf,
}

/// Somebody with a certificate.
#[derive(Debug)]
struct Subject {
    file: String,
    name: String,
    group: Option<&'static str>,
    alternatives: Vec<String>,
}

impl Pki {
    /// Makes all keys and certificates in `folder`.
    pub(super) fn new(folder: PathBuf, nodes: u8) -> Result<Self> {
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let pki = Self { folder };
        let authority = authority()?;
        pki.write("ca.crt", &authority.pem())?;
        for subject in subjects(nodes) {
            let (certificate, key) = issue(&subject, &authority)?;
            pki.write(&format!("{}.crt", subject.file), &certificate)?;
            pki.write(&format!("{}.key", subject.file), &key)?;
        }
        let accounts = KeyPair::generate().context("the key of the service accounts")?;
        pki.write("accounts.key", &accounts.serialize_pem())?;
        pki.write("accounts.pub", &accounts.public_key_pem())?;
        Ok(pki)
    }

    /// The authority's certificate.
    pub(super) fn authority(&self) -> PathBuf {
        self.file("ca.crt")
    }

    /// The certificate of `name`.
    pub(super) fn certificate(&self, name: &str) -> PathBuf {
        self.file(&format!("{name}.crt"))
    }

    /// The key of `name`.
    pub(super) fn key(&self, name: &str) -> PathBuf {
        self.file(&format!("{name}.key"))
    }

    /// A file in the folder.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let file = self.file(name);
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))
    }
}

fn subjects(nodes: u8) -> Vec<Subject> {
    let plain = |file: &str, name: &str, group| Subject {
        file: file.into(),
        name: name.into(),
        group,
        alternatives: Vec::new(),
    };
    let addresses = ["127.0.0.1".to_owned(), CONTROL.to_string(), API_SERVICE.to_string()];
    let api = Subject {
        alternatives: API_NAMES.map(str::to_owned).into_iter().chain(addresses).collect(),
        ..plain("apiserver", "kube-apiserver", None)
    };
    let node = |node: NodeNumber| Subject {
        file: node.name(),
        name: format!("system:node:{}", node.name()),
        group: Some("system:nodes"),
        alternatives: vec![node.name(), node.address().to_string(), "127.0.0.1".into()],
    };
    let mut subjects = vec![
        api,
        plain("admin", "admin", Some(ADMINS)),
        plain("kubelet-client", "apiserver-kubelet-client", Some(ADMINS)),
        plain("controller-manager", "system:kube-controller-manager", None),
        plain("scheduler", "system:kube-scheduler", None),
        plain("proxy", "system:kube-proxy", None),
        // It reads services and endpoints; a role for that would be one more thing to be applied first.
        plain("dns", "coredns", Some(ADMINS)),
    ];
    subjects.extend(NodeNumber::all(nodes).map(node));
    subjects
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "obit-e2e");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    let key = KeyPair::generate().context("the authority's key")?;
    CertifiedIssuer::self_signed(params, key).context("the authority's certificate")
}

/// Certificate and key, as PEM.
fn issue(subject: &Subject, authority: &CertifiedIssuer<'_, KeyPair>) -> Result<(String, String)> {
    let what = || format!("the certificate of {}", subject.name);
    let mut params = CertificateParams::new(subject.alternatives.clone()).with_context(what)?;
    params
        .distinguished_name
        .push(DnType::CommonName, subject.name.as_str());
    if let Some(group) = subject.group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().with_context(what)?;
    let certificate = params.signed_by(&key, authority).with_context(what)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_a_certificate_and_a_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let pki = Pki::new(folder.path().join("pki"), 2).expect("a PKI");
        for name in [
            "apiserver",
            "admin",
            "controller-manager",
            "scheduler",
            "proxy",
            "dns",
            "node1",
            "node2",
        ] {
            let certificate = fs::read_to_string(pki.certificate(name)).expect("a certificate");
            assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"), "{name}");
            let key = fs::read_to_string(pki.key(name)).expect("a key");
            assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"), "{name}");
        }
        let public = fs::read_to_string(pki.file("accounts.pub")).expect("a key");
        assert!(public.starts_with("-----BEGIN PUBLIC KEY-----"));
        assert!(!pki.certificate("node3").exists());
    }

    #[test]
    fn the_api_server_answers_to_the_addresses_at_which_it_is_asked() {
        let subjects = subjects(1);
        let api = subjects
            .iter()
            .find(|subject| subject.file == "apiserver")
            .expect("the API server");
        for name in ["198.18.0.1", "198.19.0.1", "kubernetes.default.svc"] {
            assert!(api.alternatives.iter().any(|alternative| alternative == name), "{name}");
        }
    }
}
