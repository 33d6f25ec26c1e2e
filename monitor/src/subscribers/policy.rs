//! Which services a subscriber may ask for, as a file says it. Pure, but for reading the file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::kubernetes::ServiceName;

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("cannot read the policy {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is none; the message names line and column, and shows the line.
    #[error("{} is no policy: {}", .path.display(), .source.to_string().trim_end())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<toml::de::Error>,
    },
}

/// Which services pods may ask for, by their namespaces.
///
/// A namespace that rules name may ask for what these say, and for nothing else; for one that no rule names, `default` says
/// whether it may ask for anything.
///
/// ```
/// use obit_monitor::kubernetes::ServiceName;
/// use obit_monitor::subscribers::Policy;
///
/// let policy = Policy::parse(
///     r#"
///     default = "deny"
///     unknown = ["kube-system/*"]
///
///     [[rules]]
///     from = ["shop", "shop-*"]
///     services = ["./*", "payments/api"]
///     "#,
/// )?;
/// let api = ServiceName { namespace: "payments".into(), name: "api".into() };
/// assert!(policy.allows(Some("shop-test"), &api));
/// assert!(!policy.allows(Some("web"), &api));
/// assert!(!policy.allows(None, &api));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Of namespaces that no rule names.
    #[serde(default)]
    default: Otherwise,
    /// What subscribers may ask for whose pod is not known.
    #[serde(default)]
    unknown: Vec<Services>,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Otherwise {
    Allow,
    #[default]
    Deny,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// Namespaces.
    from: Vec<Pattern>,
    services: Vec<Services>,
}

impl Policy {
    /// The policy in a file.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn read(path: &Path) -> Result<Self, PolicyError> {
        let path = || path.to_owned();
        let text = fs::read_to_string(path()).map_err(|source| PolicyError::Unreadable { path: path(), source })?;
        Self::parse(&text).map_err(|source| PolicyError::Invalid {
            path: path(),
            source: Box::new(source),
        })
    }

    /// The policy in this text.
    ///
    /// # Errors
    /// Where it is wrong, and how.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Whether a subscriber in a pod of the namespace `from`, or in none that is known, may ask for a service.
    #[must_use]
    pub fn allows(&self, from: Option<&str>, service: &ServiceName) -> bool {
        let Some(from) = from else {
            return self.unknown.iter().any(|services| services.have(None, service));
        };
        let mut named = self
            .rules
            .iter()
            .filter(|rule| rule.from.iter().any(|it| it.fits(from)))
            .peekable();
        if named.peek().is_none() {
            return self.default == Otherwise::Allow;
        }
        named.any(|rule| rule.services.iter().any(|services| services.have(Some(from), service)))
    }
}

/// Some services, as `namespace/name`; `.` for the asker's own namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Services {
    /// `None`: the asker's own.
    namespace: Option<Pattern>,
    name: Pattern,
}

impl Services {
    fn have(&self, from: Option<&str>, service: &ServiceName) -> bool {
        let there = match &self.namespace {
            Some(namespace) => namespace.fits(&service.namespace),
            None => from == Some(&*service.namespace),
        };
        there && self.name.fits(&service.name)
    }
}

impl<'de> Deserialize<'de> for Services {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parts = text.split_once('/');
        let wrong = || {
            D::Error::custom(format!(
                "{text:?} names no services: `namespace/name`, as \"shop/*\" or \"./api\""
            ))
        };
        let (namespace, name) = parts.ok_or_else(wrong)?;
        Ok(Self {
            namespace: match namespace {
                "." => None,
                namespace => Some(Pattern::new(namespace).ok_or_else(wrong)?),
            },
            name: Pattern::new(name).ok_or_else(wrong)?,
        })
    }
}

/// A name of Kubernetes, in which `*` stands for any characters, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern(Box<str>);

impl Pattern {
    /// `None`: no name is like that.
    fn new(text: &str) -> Option<Self> {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'*');
        (!text.is_empty() && text.bytes().all(letter)).then(|| Self(text.into()))
    }

    fn fits(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
            return false;
        };
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return rest.ends_with(part);
            }
            // The first place is as good as any: more is left for what follows.
            match rest.split_once(part) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
        true
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "{text:?} is no namespace: a-z, 0-9 and \"-\", and * for any characters"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn service(text: &str) -> ServiceName {
        let (namespace, name) = text.split_once('/').expect("namespace/name");
        ServiceName {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    fn allows(policy: &str, from: Option<&str>, asked: &str) -> bool {
        let policy = Policy::parse(policy).expect("a policy");
        policy.allows(from, &service(asked))
    }

    #[test]
    fn a_namespace_that_rules_name_may_ask_for_what_they_say_and_nothing_else() {
        for default in ["allow", "deny"] {
            let policy = format!(
                "default = \"{default}\"\n[[rules]]\nfrom = [\"shop\"]\nservices = [\"./*\", \"pay/api\"]\n\
                 [[rules]]\nfrom = [\"s*\", \"web\"]\nservices = [\"*/dns\"]"
            );
            for (from, asked, may) in [
                ("shop", "shop/demo", true),
                ("shop", "pay/api", true),
                ("shop", "pay/other", false),
                ("shop", "kube-system/dns", true),
                ("web", "web/demo", false),
                ("web", "web/dns", true),
                ("nobody", "pay/api", default == "allow"),
            ] {
                assert_eq!(
                    allows(&policy, Some(from), asked),
                    may,
                    "{from} asks for {asked}, {default}"
                );
            }
        }
    }

    #[test]
    fn who_is_not_known_may_ask_for_what_is_said_of_them_alone() {
        let policy =
            "default = \"allow\"\nunknown = [\"open/*\", \"./x\"]\n[[rules]]\nfrom = [\"*\"]\nservices = [\"*/*\"]";
        assert!(allows(policy, None, "open/api"));
        assert!(!allows(policy, None, "shop/api"));
        assert!(!allows(policy, None, "shop/x"), "no namespace is its own");
        assert!(!allows("default = \"allow\"", None, "open/api"));
    }

    #[test]
    fn nothing_said_is_nothing_allowed() {
        assert!(!allows("", Some("shop"), "shop/demo"));
        assert!(!allows(
            "[[rules]]\nfrom = [\"shop\"]\nservices = []",
            Some("shop"),
            "shop/demo"
        ));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, line, wrong) in [
            ("\nallow = 1", "line 2", "unknown field `allow`"),
            ("default = \"maybe\"", "line 1", "unknown variant `maybe`"),
            ("[[rules]]\nfrom = [\"shop\"]", "line 1", "missing field `services`"),
            (
                "[[rules]]\nfrom = [\"a\", \"Shop\"]\nservices = []",
                "line 2",
                "\"Shop\" is no namespace",
            ),
            (
                "[[rules]]\nfrom = []\nservices = [\"demo\"]",
                "line 3",
                "\"demo\" names no services",
            ),
            ("unknown = [\"a/b/c\"]", "line 1", "\"a/b/c\" names no services"),
            ("[[rules]]\nfrom = \"shop\"\nservices = []", "line 2", "invalid type"),
            ("default = ", "line 1", ""),
        ] {
            let said = Policy::parse(text).expect_err(text).to_string();
            assert!(said.contains(line) && said.contains(wrong), "{said}");
        }
        let gone = Policy::read(Path::new("/does/not/exist"))
            .expect_err("no file")
            .to_string();
        assert!(gone.contains("/does/not/exist"), "{gone}");
    }

    proptest! {
        #[test]
        fn a_pattern_fits_what_its_stars_were_put_for(parts in prop::collection::vec("[a-c-]{0,3}", 1..5), fill in "[a-c-]{0,3}") {
            let pattern = Pattern(parts.join("*").into());
            prop_assert!(pattern.fits(&parts.join(&fill)));
        }

        #[test]
        fn a_pattern_without_a_star_fits_itself_alone(name in "[a-c]{1,3}", other in "[a-c]{1,3}") {
            prop_assert_eq!(Pattern(name.clone().into()).fits(&other), name == other);
        }

        #[test]
        fn a_pattern_fits_what_the_slow_way_fits(pattern in "[ab*]{0,6}", name in "[ab]{0,6}") {
            fn slow(pattern: &[u8], name: &[u8]) -> bool {
                match (pattern.split_first(), name.split_first()) {
                    (None, _) => name.is_empty(),
                    (Some((b'*', rest)), _) => (0..=name.len()).any(|skip| slow(rest, &name[skip..])),
                    (Some((letter, rest)), Some((first, after))) => letter == first && slow(rest, after),
                    (Some(_), None) => false,
                }
            }
            let expected = slow(pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(Pattern(pattern.into()).fits(&name), expected);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}") {
            _ = Policy::parse(&text);
        }
    }
}
