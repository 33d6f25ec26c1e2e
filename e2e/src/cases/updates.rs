//! Rolling updates under load: of the application, and of the monitor.

use anyhow::Result;

use crate::stage::Stage;

use super::app::{App, Caller, SLOWEST_MS, now_ms};
use super::monitor;

/// Seconds that callers are watched after the last pod.
const AFTER: u64 = 3;

/// `kubectl rollout restart` of the servers.
pub(super) fn application(stage: &Stage) -> Result<String> {
    let app = App::ready(stage)?;
    let at = now_ms();
    app.run(&["rollout", "restart", "deployment/greeter"])?;
    app.rolled_out("greeter")?;
    app.saw(at, (now_ms() - at) / 1_000 + AFTER)?
        .promise(&[Caller::Obit], SLOWEST_MS)
}

/// `kubectl rollout restart` of the monitor.
pub(super) fn of_monitor(stage: &Stage) -> Result<String> {
    let app = App::ready(stage)?;
    let at = now_ms();
    let restart = ["-n", monitor::NAMESPACE, "rollout", "restart", monitor::DAEMONSET];
    app.kubectl().run(&restart)?;
    monitor::rolled_out(stage)?;
    app.saw(at, (now_ms() - at) / 1_000 + AFTER)?
        .promise(&[Caller::Obit, Caller::ObitDns], SLOWEST_MS)
}
