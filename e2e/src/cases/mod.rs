//! The cases: what is to happen when obit runs in a Kubernetes.

use anyhow::Result;

use crate::stage::Stage;

/// One case.
#[derive(Debug)]
pub(crate) struct Case {
    /// What it is asked for by: words joined by hyphens.
    pub(crate) name: &'static str,
    /// One sentence: what is done, and what is to come of it.
    pub(crate) about: &'static str,
    /// What it cannot do without.
    pub(crate) needs: Needs,
    /// Does it and returns what was seen, in one line with the figures. An error is a failure, and says why.
    pub(crate) run: fn(&Stage) -> Result<String>,
}

/// What a case cannot do without; it is skipped, loudly, where that is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// A cluster of our own: it does what is not to be done to somebody's.
    pub(crate) own_cluster: bool,
    /// That many nodes.
    pub(crate) nodes: usize,
}

/// All cases, in the order in which they run.
pub(crate) const ALL: &[Case] = &[];
