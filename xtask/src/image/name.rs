//! An image's name, as people write it and as containerd knows it.

use std::fmt;

/// `repository:tag`, e.g. `obit:0.1.0` or `registry.example/obit:0.1.0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) repository: String,
    pub(crate) tag: String,
}

impl Name {
    /// The name of these two parts.
    pub(crate) fn new(repository: impl Into<String>, tag: impl Into<String>) -> Self {
        let (repository, tag) = (repository.into(), tag.into());
        Self { repository, tag }
    }

    /// With the registry that a name without one means: `obit:0.1.0` is `docker.io/library/obit:0.1.0`. kubelet asks containerd for
    /// this name, never for the short one.
    pub(crate) fn full(&self) -> String {
        // The rule of the reference implementation (`distribution/reference`, normalize.go).
        let is_host = |first: &str| first.contains(['.', ':']) || first == "localhost";
        match self.repository.split_once('/') {
            Some((first, _)) if is_host(first) => self.to_string(),
            Some(_) => format!("docker.io/{self}"),
            None => format!("docker.io/library/{self}"),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_registry_means_docker_hub() {
        let full = |repository: &str| Name::new(repository, "1").full();
        assert_eq!(full("obit"), "docker.io/library/obit:1");
        assert_eq!(full("obit-rs/obit"), "docker.io/obit-rs/obit:1");
        assert_eq!(full("obit-e2e.local/pause"), "obit-e2e.local/pause:1");
        assert_eq!(full("localhost/obit"), "localhost/obit:1");
        assert_eq!(full("localhost:5000/obit"), "localhost:5000/obit:1");
    }
}
