//! Which of a service's addresses are its endpoints where it has them in both families. Pure.

/// What to do with IPv4 and IPv6 addresses of one service.
///
/// In a dual-stack cluster each pod has one address of either family, and neither DNS nor EndpointSlices bind the two
/// together: taken all, every pod counts twice, with two connections and twice the calls of one that has one address. So by
/// default one family is taken whole, and the other only where the first has nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum IpFamily {
    /// IPv4; IPv6 where there is no IPv4 address at all. The default.
    #[default]
    PreferV4,
    /// IPv6; IPv4 where there is no IPv6 address at all.
    PreferV6,
    /// IPv4 alone.
    V4Only,
    /// IPv6 alone.
    V6Only,
    /// Every address is an endpoint of its own.
    All,
}

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl IpFamily {
    /// The families that count, the preferred one first.
    pub(crate) fn order(self) -> &'static [Family] {
        match self {
            Self::PreferV4 | Self::All => &[Family::V4, Family::V6],
            Self::PreferV6 => &[Family::V6, Family::V4],
            Self::V4Only => &[Family::V4],
            Self::V6Only => &[Family::V6],
        }
    }

    /// What counts of what both families have.
    pub(crate) fn choose<T>(self, of: impl Fn(Family) -> Vec<T>) -> Vec<T> {
        let mut found = self.order().iter().map(|family| of(*family));
        if self == Self::All {
            found.flatten().collect()
        } else {
            found.find(|found| !found.is_empty()).unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_family_counts_only_where_the_preferred_one_has_nothing() {
        let chosen = |family: IpFamily, v4: usize, v6: usize| {
            let count = |family| if family == Family::V4 { v4 } else { v6 };
            let found = family.choose(|family| vec![family; count(family)]);
            let fours = found.iter().filter(|family| **family == Family::V4).count();
            (fours, found.len() - fours)
        };
        assert_eq!(chosen(IpFamily::PreferV4, 2, 2), (2, 0));
        assert_eq!(chosen(IpFamily::PreferV4, 0, 2), (0, 2));
        assert_eq!(chosen(IpFamily::PreferV6, 2, 1), (0, 1));
        assert_eq!(chosen(IpFamily::PreferV6, 2, 0), (2, 0));
        assert_eq!(chosen(IpFamily::V4Only, 0, 2), (0, 0));
        assert_eq!(chosen(IpFamily::V6Only, 2, 0), (0, 0));
        assert_eq!(chosen(IpFamily::All, 2, 1), (2, 1));
    }
}
