//! The bill of materials itself: a CycloneDX document, the same for the same program.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::tree::{Linked, Package};
use crate::image::blob::sha256;

/// The version of CycloneDX that the document follows.
const SPECIFICATION: &str = "1.6";

/// What a program consists of.
pub(super) struct Parts<'a> {
    /// The package that the program is, among the linked ones.
    pub(super) root: &'a Package,
    /// The program's own SHA-256.
    pub(super) program: &'a str,
    pub(super) linked: &'a Linked,
    /// The checksums of what came from a registry, by name and version.
    pub(super) checksums: &'a BTreeMap<(String, String), String>,
    /// What is linked and no package of Cargo's.
    pub(super) libraries: &'a [Library],
}

/// A library that comes with the toolchain or the system.
pub(super) struct Library {
    pub(super) name: &'static str,
    pub(super) version: String,
    pub(super) licence: &'static str,
    pub(super) repository: &'static str,
}

/// The document. It has no time; its serial number is made of what it says.
pub(super) fn document(parts: &Parts<'_>) -> Value {
    let root = purl(&parts.root.key());
    let mut application = component("application", parts.root, None);
    application["hashes"] = hashes(parts.program);
    let packages = parts.linked.packages.iter().filter(|&package| package != parts.root);
    let packages = packages.map(|package| component("library", package, parts.checksums.get(&package.key())));
    let libraries = parts.libraries.iter().map(Library::component);
    let components: Vec<_> = packages.chain(libraries).collect();
    let dependencies: Vec<_> = parts
        .linked
        .packages
        .iter()
        .map(|package| {
            let needs = parts.linked.needs.get(&package.key()).into_iter().flatten().map(purl);
            // The program is linked with them, whichever package asked for them.
            let libraries = parts
                .libraries
                .iter()
                .filter(|_| package == parts.root)
                .map(Library::purl);
            json!({ "ref": purl(&package.key()), "dependsOn": needs.chain(libraries).collect::<Vec<_>>() })
        })
        .collect();
    let mut document = json!({
        "$schema": format!("http://cyclonedx.org/schema/bom-{SPECIFICATION}.schema.json"),
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "version": 1,
        "metadata": { "component": application },
        "components": components,
        "dependencies": dependencies,
    });
    debug_assert_eq!(document["metadata"]["component"]["bom-ref"], root);
    document["serialNumber"] = json!(serial_number(&sha256(document.to_string().as_bytes())));
    document
}

/// A UUID of the kind whose content its maker chooses (version 8 of RFC 9562), from the digits of a hash.
fn serial_number(hash: &str) -> String {
    let (a, b, c, d, e) = (&hash[..8], &hash[8..12], &hash[13..16], &hash[17..20], &hash[20..32]);
    format!("urn:uuid:{a}-{b}-8{c}-8{d}-{e}")
}

fn component(kind: &str, package: &Package, checksum: Option<&String>) -> Value {
    let mut component = json!({
        "type": kind,
        "bom-ref": purl(&package.key()),
        "name": package.name,
        "version": package.version,
        "purl": purl(&package.key()),
    });
    if !package.licence.is_empty() {
        component["licenses"] = json!([{ "expression": spdx(&package.licence) }]);
    }
    if !package.repository.is_empty() {
        component["externalReferences"] = json!([{ "type": "vcs", "url": package.repository }]);
    }
    if let Some(checksum) = checksum {
        component["hashes"] = hashes(checksum);
    }
    component
}

impl Library {
    fn purl(&self) -> String {
        format!("pkg:generic/{}@{}", self.name, self.version)
    }

    fn component(&self) -> Value {
        json!({
            "type": "library",
            "bom-ref": self.purl(),
            "name": self.name,
            "version": self.version,
            "purl": self.purl(),
            "licenses": [{ "expression": self.licence }],
            "externalReferences": [{ "type": "vcs", "url": self.repository }],
        })
    }
}

fn hashes(sha256: &str) -> Value {
    json!([{ "alg": "SHA-256", "content": sha256 }])
}

/// A package's URL (`purl-spec`, type cargo). Only `+`, in versions, must be written otherwise.
fn purl((name, version): &(String, String)) -> String {
    format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
}

/// Old manifests write a slash for "or".
fn spdx(licence: &str) -> String {
    let words: Vec<_> = licence.split('/').map(str::trim).collect();
    words.join(" OR ")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn package(name: &str, version: &str, licence: &str) -> Package {
        Package {
            name: name.into(),
            version: version.into(),
            licence: licence.into(),
            repository: String::new(),
        }
    }

    fn example() -> Value {
        let (app, dep) = (
            package("app", "0.1.0", "MIT"),
            package("dep", "1.0.0+up-2", "MIT/Apache-2.0"),
        );
        let linked = Linked {
            packages: BTreeSet::from([app.clone(), dep.clone()]),
            needs: BTreeMap::from([(app.key(), BTreeSet::from([dep.key()]))]),
        };
        let libraries = [Library {
            name: "glibc",
            version: "2.36".into(),
            licence: "LGPL-2.1-or-later",
            repository: "https://g.example",
        }];
        document(&Parts {
            root: &app,
            program: "aa",
            linked: &linked,
            checksums: &BTreeMap::from([(dep.key(), "bb".to_owned())]),
            libraries: &libraries,
        })
    }

    #[test]
    fn the_program_and_what_is_linked_are_named_with_versions_licences_and_hashes() {
        let document = example();
        let application = &document["metadata"]["component"];
        assert_eq!(application["purl"], "pkg:cargo/app@0.1.0");
        assert_eq!(application["hashes"][0]["content"], "aa");
        assert_eq!(
            document["components"],
            json!([
                {
                    "type": "library",
                    "bom-ref": "pkg:cargo/dep@1.0.0%2Bup-2",
                    "name": "dep",
                    "version": "1.0.0+up-2",
                    "purl": "pkg:cargo/dep@1.0.0%2Bup-2",
                    "licenses": [{ "expression": "MIT OR Apache-2.0" }],
                    "hashes": [{ "alg": "SHA-256", "content": "bb" }],
                },
                {
                    "type": "library",
                    "bom-ref": "pkg:generic/glibc@2.36",
                    "name": "glibc",
                    "version": "2.36",
                    "purl": "pkg:generic/glibc@2.36",
                    "licenses": [{ "expression": "LGPL-2.1-or-later" }],
                    "externalReferences": [{ "type": "vcs", "url": "https://g.example" }],
                },
            ])
        );
        assert_eq!(
            document["dependencies"],
            json!([
                { "ref": "pkg:cargo/app@0.1.0", "dependsOn": ["pkg:cargo/dep@1.0.0%2Bup-2", "pkg:generic/glibc@2.36"] },
                { "ref": "pkg:cargo/dep@1.0.0%2Bup-2", "dependsOn": [] },
            ])
        );
    }

    #[test]
    fn the_same_parts_are_the_same_document() {
        assert_eq!(example().to_string(), example().to_string());
    }

    #[test]
    fn the_serial_number_is_a_uuid_made_of_the_hash() {
        let hash = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        assert_eq!(serial_number(hash), "urn:uuid:01234567-89ab-8def-8123-456789abcdef");
    }
}
