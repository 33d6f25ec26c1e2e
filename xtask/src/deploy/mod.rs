//! `deploy-check`: whether the chart and the manifests in `deploy/` say the same, and the chart refuses what is no value. Renders with
//! kubectl and helm; needs no cluster.

mod render;
mod same;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

use crate::command::find_program;
use crate::test::Tally;
use render::Tools;

/// Each overlay, with the values by which the chart says the same.
const PAIRS: [(&str, &[&str]); 3] = [
    ("overlays/default", &[]),
    ("overlays/privileged", &["privileged=true"]),
    (
        "overlays/monitoring",
        &[
            "podMonitor.enabled=true",
            "prometheusRule.enabled=true",
            "dashboard.enabled=true",
            r"networkPolicy.from[0].namespaceSelector.matchLabels.kubernetes\.io/metadata\.name=monitoring",
        ],
    ),
];

/// What the chart must refuse, and what its refusal names.
const REFUSED: [(&str, &str); 9] = [
    ("resourcse.limits.memory=1Gi", "resourcse"),
    ("image.pulPolicy=Always", "pulPolicy"),
    ("image.pullPolicy=Sometimes", "pullPolicy"),
    ("listen.port=hello", "port"),
    ("listen.port=70000", "port"),
    ("resources.limits.memory=many", "memory"),
    ("socketDirectory=run/obit", "socketDirectory"),
    ("privileged=yes-please", "privileged"),
    ("networkPolicy.from[0].namespace=monitoring", "namespace"),
];

/// Values beside the defaults that must render.
const ACCEPTED: [&[&str]; 6] = [
    &[r#"servicePolicy=default = "allow""#],
    // What YAML makes of `off`.
    &["kubernetes=false", "networkPolicy.enabled=false"],
    &["kubernetes=off", "rbac.create=false", "serviceAccount.create=false"],
    &[
        "priorityClassName=",
        "socketDirectory=/var/run/obit",
        "listen.address=[::]",
    ],
    &[
        "extraArgs={--without,listener-closed}",
        "extraEnv[0].name=A",
        "extraEnv[0].value=b",
    ],
    &[
        "updateStrategy.type=OnDelete",
        "updateStrategy.rollingUpdate=null",
        "seLinuxOptions.type=spc_t",
    ],
];

/// Which programs render.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// kubectl, instead of the one in the PATH
    #[arg(long, value_name = "PATH")]
    kubectl: Option<PathBuf>,
    /// helm, instead of the one in the PATH
    #[arg(long, value_name = "PATH")]
    helm: Option<PathBuf>,
}

/// Runs every check; the exit code tells whether all of them passed.
pub(crate) fn deploy_check(arguments: Arguments) -> Result<ExitCode> {
    let kubectl = program("kubectl", arguments.kubectl)?;
    let helm = program("helm", arguments.helm)?;
    let mut tally = Tally::default();
    for (name, result) in check(&kubectl, &helm) {
        tally.outcome(&name, &result);
    }
    Ok(tally.close())
}

fn program(name: &str, named: Option<PathBuf>) -> Result<PathBuf> {
    let found = named.or_else(|| find_program(name));
    found.with_context(|| {
        format!(
            "no {name} in the PATH. Next: name one by --{name}; `cargo xtask e2e --prepare` builds one into target/e2e"
        )
    })
}

/// Every check by its name, with what came of it. None needs a cluster.
pub(crate) fn check(kubectl: &Path, helm: &Path) -> Vec<(String, Result<()>)> {
    let tools = Tools { kubectl, helm };
    let mut results = vec![
        ("deploy: helm lint".to_owned(), tools.lint()),
        ("deploy: the example".to_owned(), tools.kustomize("example").map(drop)),
        (
            "deploy: the overlay service-policy".to_owned(),
            tools.kustomize("overlays/service-policy").map(drop),
        ),
    ];
    for (overlay, values) in PAIRS {
        let name = format!("deploy: {overlay} and the chart say the same");
        results.push((name, say_the_same(tools, overlay, values)));
    }
    for values in ACCEPTED {
        let name = format!("deploy: the chart takes {}", values.join(" "));
        results.push((name, tools.chart(values).map(drop)));
    }
    for (value, named) in REFUSED {
        let name = format!("deploy: the chart refuses {value}");
        results.push((name, tools.refuse(value, named)));
    }
    results
}

fn say_the_same(tools: Tools<'_>, overlay: &str, values: &[&str]) -> Result<()> {
    let differences = same::differences(tools.kustomize(overlay)?, tools.chart(values)?);
    ensure!(
        differences.is_empty(),
        "deploy/{overlay} and deploy/helm/obit differ. Next: make them the same:\n{}",
        differences.join("\n")
    );
    Ok(())
}
