//! Which names a name may mean: the search list. Pure.

use hickory_resolver::proto::rr::Name;

/// The names to ask about, in this order, as resolv.conf(5) has it: one with a trailing dot is itself; one with `ndots` dots
/// or more is tried as it is first, and last otherwise.
///
/// hickory builds such a list too, but tries the domain of the machine's host name before it, and gives the error of the last
/// name: a failure of the one that matters is hidden by "no such name" of the next.
pub(super) fn candidates(name: &Name, search: &[Name], ndots: usize) -> Vec<Name> {
    let mut itself = name.clone();
    itself.set_fqdn(true);
    if name.is_fqdn() {
        return vec![itself];
    }
    // A name that grows too long with a domain cannot be meant.
    let searched = search.iter().filter_map(|domain| {
        let mut searched = name.clone().append_domain(domain).ok()?;
        searched.set_fqdn(true);
        Some(searched)
    });
    let dots = usize::from(name.num_labels()).saturating_sub(1);
    let mut names = Vec::with_capacity(search.len() + 1);
    if dots >= ndots {
        names.push(itself);
        names.extend(searched);
    } else {
        names.extend(searched);
        names.push(itself);
    }
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(name: &str, search: &[&str], ndots: usize) -> Vec<String> {
        let parsed = |name: &str| Name::from_str_relaxed(name).unwrap();
        let search: Vec<_> = search.iter().map(|domain| parsed(domain)).collect();
        candidates(&parsed(name), &search, ndots)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    const CLUSTER: [&str; 3] = ["default.svc.cluster.local", "svc.cluster.local", "cluster.local"];

    #[test]
    fn a_bare_name_is_searched_for_first_and_taken_as_it_is_last() {
        let expected = [
            "demo.default.svc.cluster.local.",
            "demo.svc.cluster.local.",
            "demo.cluster.local.",
            "demo.",
        ];
        assert_eq!(names("demo", &CLUSTER, 5), expected);
    }

    #[test]
    fn a_name_with_enough_dots_is_taken_as_it_is_first() {
        assert_eq!(names("a.b", &["c"], 1), ["a.b.", "a.b.c."]);
        assert_eq!(names("a.b", &["c"], 2), ["a.b.c.", "a.b."]);
        assert_eq!(names("demo", &["c"], 0), ["demo.", "demo.c."]);
    }

    #[test]
    fn a_trailing_dot_ends_the_search_before_it_begins() {
        assert_eq!(names("demo.", &CLUSTER, 5), ["demo."]);
    }

    #[test]
    fn a_domain_named_twice_or_too_long_is_left_out() {
        let long = ["a".repeat(62).as_str(); 4].join(".");
        let search = ["c", "c.", long.as_str()];
        assert_eq!(names("demo-api", &search, 1), ["demo-api.c.", "demo-api."]);
    }
}
