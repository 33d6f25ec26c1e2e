//! The cases: what is to happen when obit runs in a Kubernetes.

mod app;
mod bad_input;
mod deaths;
mod example;
mod install;
mod monitor;
mod outages;
mod policy;
mod process;
mod scale;
mod size;
mod updates;

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

const ANY: Needs = Needs {
    own_cluster: false,
    nodes: 1,
};

const OWN: Needs = Needs {
    own_cluster: true,
    nodes: 1,
};

const OWN_OF_TWO: Needs = Needs {
    own_cluster: true,
    nodes: 2,
};

/// All cases, in the order in which they run: what is installed by kustomize is there until the last, which uses Helm.
pub(crate) const ALL: &[Case] = &[
    Case {
        name: "kustomize",
        about: "kubectl apply -k: ready on every node, without privileges",
        needs: ANY,
        run: install::kustomize,
    },
    Case {
        name: "size",
        about: "5 000 EndpointSlices of 10 endpoints, and 110 pods on a node: at most 64 MiB, and 1 % of a core when idle",
        needs: OWN,
        run: size::size,
    },
    Case {
        name: "example",
        about: "kubectl apply -k deploy/example: the client calls all servers",
        needs: ANY,
        run: example::example,
    },
    Case {
        name: "force-delete",
        about: "the pod tonic is connected to is deleted by force: obit fails no call, and none takes a second",
        needs: ANY,
        run: deaths::force_delete,
    },
    Case {
        name: "kill-9",
        about: "the server tonic is connected to is killed: obit fails no call, and none takes a second",
        needs: OWN,
        run: deaths::kill_9,
    },
    Case {
        name: "relabel",
        about: "a pod that runs is taken out of the service: obit fails no call, and calls it no more after a second",
        needs: ANY,
        run: deaths::relabel,
    },
    Case {
        name: "scale",
        about: "5, 7 and 5 servers: obit calls a new one within 200 ms of Ready, and fails no call",
        needs: ANY,
        run: scale::scale,
    },
    Case {
        name: "rollout",
        about: "a rolling update of the application: obit fails no call",
        needs: ANY,
        run: updates::application,
    },
    Case {
        name: "monitor-rollout",
        about: "a rolling update of the monitor: obit fails no call",
        needs: ANY,
        run: updates::of_monitor,
    },
    Case {
        name: "node-loss",
        about: "the link of a node goes down: obit fails no call, and moves those in flight within a second",
        needs: OWN_OF_TWO,
        run: outages::node_loss,
    },
    Case {
        name: "api-away",
        about: "no API server for 30 s, and a server killed meanwhile: obit fails no call",
        needs: OWN,
        run: outages::api_away,
    },
    Case {
        name: "stale-dns",
        about: "DNS names a dead pod for 30 s: obit fails no call",
        needs: OWN,
        run: outages::stale_dns,
    },
    Case {
        name: "bad-input",
        about: "applications ask for what is not there: they are told, and obit fails no call of others",
        needs: ANY,
        run: bad_input::bad_input,
    },
    Case {
        name: "service-policy",
        about: "the overlay with a policy: who asks for what it forbids is told so, and obit fails no call of others",
        needs: ANY,
        run: policy::service_policy,
    },
    Case {
        name: "helm",
        about: "the same by Helm: installed without rights, which askers are told, upgraded, a pod deleted by force, uninstalled",
        needs: ANY,
        run: install::helm,
    },
];
