//! From the names of a cgroup to the pod it belongs to. Pure.

use std::fmt;

/// The UID of a pod: 128 bits, chosen by the API and never given twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(u128);

impl Uid {
    /// The UID in this text, as Kubernetes writes it: 8, 4, 4, 4 and 12 hexadecimal digits. `None` for anything else, as the
    /// names of static pods, which do not tell who they are.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::separated(text, '-')
    }

    fn separated(text: &str, by: char) -> Option<Self> {
        let mut number = 0;
        let mut parts = text.split(by);
        for digits in [8, 4, 4, 4, 12] {
            let part = parts.next().filter(|part| part.len() == digits)?;
            if !part
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
            {
                return None;
            }
            number = number << (4 * digits) | u128::from_str_radix(part, 16).ok()?;
        }
        parts.next().is_none().then_some(Self(number))
    }

    /// The pod a cgroup belongs to, of whose names the outermost stands first.
    ///
    /// The kubelet puts pods into `kubepods`, in it by quality of service, and whatever a container makes lies further in: the
    /// outermost `kubepods` counts, and what stands right in it, so that nobody names himself another pod. A user of the node who
    /// may make cgroups is no pod.
    ///
    /// ```
    /// use obit_monitor::subscribers::Uid;
    ///
    /// let uid = "0a1b2c3d-0000-4000-8000-00000000002a";
    /// let by_systemd = [
    ///     "kubepods.slice",
    ///     "kubepods-burstable.slice",
    ///     "kubepods-burstable-pod0a1b2c3d_0000_4000_8000_00000000002a.slice",
    ///     "cri-containerd-55.scope",
    /// ];
    /// assert_eq!(Uid::of_cgroup(&by_systemd), Uid::parse(uid));
    /// let by_cgroupfs = ["kubepods", &format!("pod{uid}"), "55"];
    /// assert_eq!(Uid::of_cgroup(&by_cgroupfs), Uid::parse(uid));
    /// ```
    #[must_use]
    pub fn of_cgroup(names: &[impl AsRef<str>]) -> Option<Self> {
        let mut names = names.iter().map(AsRef::as_ref).peekable();
        let outermost = names.peek()?;
        if *outermost == "user.slice" {
            return None;
        }
        // With systemd each slice has the names of those around it before its own: `kubelet-kubepods.slice`.
        let pods = names.find(|name| last(name, ".slice").rsplit('-').next() == Some("kubepods"))?;
        let systemd = pods.ends_with(".slice");
        let mut inside = names.next()?;
        if matches!(quality(inside, systemd), Some("burstable" | "besteffort")) {
            inside = names.next()?;
        }
        let (pod, by) = if systemd {
            let slice = inside.strip_suffix(".slice")?;
            // The dashes in it are underscores, for a dash is a level.
            (slice.rsplit('-').next()?, '_')
        } else {
            (inside, '-')
        };
        Self::separated(pod.strip_prefix("pod")?, by)
    }
}

/// The class a cgroup in `kubepods` stands for, if it stands for one.
fn quality(name: &str, systemd: bool) -> Option<&str> {
    if systemd {
        name.strip_suffix(".slice")?.rsplit('-').next()
    } else {
        Some(name)
    }
}

fn last<'a>(name: &'a str, suffix: &str) -> &'a str {
    name.strip_suffix(suffix).unwrap_or(name)
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:032x}", self.0);
        let (first, rest) = digits.split_at(8);
        write!(f, "{first}")?;
        for part in [&rest[..4], &rest[4..8], &rest[8..12], &rest[12..]] {
            write!(f, "-{part}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWN: &str = "0a1b2c3d-0000-4000-8000-00000000002a";
    const OTHER: &str = "ffffffff-0000-4000-8000-00000000002b";

    fn of(path: &str) -> Option<String> {
        let names: Vec<_> = path.split('/').filter(|name| !name.is_empty()).collect();
        Uid::of_cgroup(&names).map(|uid| uid.to_string())
    }

    /// With underscores, as systemd has it.
    fn slice(uid: &str) -> String {
        uid.replace('-', "_")
    }

    #[test]
    fn a_pod_is_found_whoever_makes_the_cgroups_and_whatever_its_class() {
        let own = slice(OWN);
        for path in [
            format!("/kubepods/pod{OWN}/aa"),
            format!("/kubepods/burstable/pod{OWN}/aa"),
            format!("/kubepods/besteffort/pod{OWN}/aa/init.scope"),
            format!("/kubepods.slice/kubepods-pod{own}.slice/cri-containerd-aa.scope"),
            format!("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{own}.slice/crio-aa.scope"),
            // kind, whose node is a container.
            format!(
                "/system.slice/docker-aa.scope/kubelet.slice/kubelet-kubepods.slice/\
                 kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{own}.slice/cri-containerd-aa.scope"
            ),
            format!("/docker/aa/kubelet/kubepods/burstable/pod{OWN}/aa"),
        ] {
            assert_eq!(of(&path).as_deref(), Some(OWN), "{path}");
        }
    }

    #[test]
    fn what_is_no_pod_is_none() {
        for path in [
            "/",
            "/system.slice/docker-aa.scope",
            "/kubepods",
            "/kubepods/burstable",
            // A static pod.
            "/kubepods/burstable/pod0123456789abcdef0123456789abcdef/aa",
            &format!("/pod{OWN}/aa"),
            &format!("/system.slice/pod{OWN}/aa"),
            &format!("/kubepods/burstable/besteffort/pod{OWN}"),
            &format!("/kubepods/burstable/x/pod{OWN}"),
            &format!("/kubepods/pod{}", &OWN[1..]),
            &format!("/kubepods/pod{OWN}-1"),
            &format!("/kubepods/pod{}", OWN.to_uppercase()),
            &format!("/kubepods.slice/kubepods-pod{OWN}.slice/aa"),
            &format!("/user.slice/user-1000.slice/user@1000.service/kubepods/pod{OWN}/aa"),
        ] {
            assert_eq!(of(path), None, "{path}");
        }
    }

    #[test]
    fn nobody_names_himself_another_pod_from_within() {
        let forged = format!("kubepods/burstable/pod{OTHER}/aa");
        let path = format!("/kubepods/burstable/pod{OWN}/aa/{forged}");
        assert_eq!(of(&path).as_deref(), Some(OWN));
        let systemd = format!(
            "/kubepods.slice/kubepods-pod{}.slice/kubepods-pod{}.slice",
            slice(OWN),
            slice(OTHER)
        );
        assert_eq!(of(&systemd).as_deref(), Some(OWN));
        assert_eq!(of(&format!("/kubepods/burstable/pod0123/{forged}")), None);
    }

    proptest! {
        #[test]
        fn a_uid_is_read_as_it_is_shown(number in any::<u128>()) {
            let uid = Uid(number);
            prop_assert_eq!(Uid::parse(&uid.to_string()), Some(uid));
        }

        #[test]
        fn whatever_stands_further_in_changes_nothing(
            names in prop::collection::vec(prop_oneof!["kubepods", "burstable", "pod[0-9a-f-]{0,40}", "[ -~]{0,12}"], 0..8),
        ) {
            let mut path = vec!["kubepods".to_owned(), format!("pod{OWN}")];
            path.extend(names);
            prop_assert_eq!(Uid::of_cgroup(&path), Uid::parse(OWN));
        }

        #[test]
        fn no_names_make_it_panic(names in prop::collection::vec("\\PC{0,40}", 0..8)) {
            _ = Uid::of_cgroup(&names);
        }
    }
}
