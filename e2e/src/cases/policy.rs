//! The overlay with a policy which services pods may ask for.

use anyhow::{Context as _, Result};

use crate::stage::Stage;

use super::app::{App, Asker, Caller, SLOWEST_MS, now_ms};
use super::monitor;

/// A service of another namespace than the asker's, which every cluster has.
const ASKS_ELSEWHERE: Asker<'static> = Asker {
    pod: "asks-elsewhere",
    service: "kubernetes",
    namespace: "default",
    words: "the monitor's policy does not allow",
};

/// Applies it over what is there, asks for what it forbids, and leaves it: the next case installs what it wants itself.
pub(super) fn service_policy(stage: &Stage) -> Result<String> {
    let app = App::ready(stage)?;
    let at = now_ms();
    stage
        .kubectl()
        .apply_folder(&stage.deploy().join("overlays/service-policy"))?;
    monitor::rolled_out(stage)?;
    let told = app.ask(&[ASKS_ELSEWHERE], |line, words| line.contains(words));
    let seen = app.saw(at, (now_ms() - at) / 1_000 + 1);
    told.context("under the policy")?;
    // Who is not told endpoints asks DNS, which every caller here is free to do.
    let figures = seen?.promise(&[Caller::Obit, Caller::ObitDns], SLOWEST_MS)?;
    Ok(format!("the asker was told of the policy; others: {figures}"))
}
