//! The client library's features: what an application may switch on, each alone and all together.

use anyhow::{Context as _, Result};

use super::{KERNEL_TESTS, Tally};
use crate::command::{cargo, metadata, run};

/// The crate that applications link.
pub(super) const LIBRARY: &str = "obit";

/// Its features, but those for its tests.
fn public() -> Result<Vec<String>> {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let library = packages.clone().find(|package| package["name"] == LIBRARY);
    let features = library.and_then(|library| library["features"].as_object());
    let names = features
        .context("cargo metadata tells no features of the library")?
        .keys();
    Ok(names
        .filter(|name| !["default", KERNEL_TESTS].contains(&name.as_str()))
        .cloned()
        .collect())
}

/// `--features` with all of them: their tests are among the workspace's.
pub(crate) fn all() -> Result<[String; 2]> {
    let features: Vec<_> = public()?.iter().map(|name| format!("{LIBRARY}/{name}")).collect();
    Ok(["--features".to_owned(), features.join(",")])
}

/// Compiles the library without any feature and with each alone. With all of them the other stages compile it.
pub(super) fn check(tally: &mut Tally) -> Result<()> {
    let mut sets = vec![String::new()];
    sets.extend(public()?);
    for features in sets {
        let lints = [
            "clippy",
            "--lib",
            "-p",
            LIBRARY,
            "--features",
            &features,
            "--",
            "-D",
            "warnings",
        ];
        let passed = run(&mut cargo(lints))?.success();
        let name = if features.is_empty() { "none" } else { &features };
        tally.check(&format!("features of the library: {name}"), passed);
    }
    Ok(())
}
