//! A pod dies: deleted by force, or killed. The one that tonic's caller depends on, so that its plight shows beside obit's.

use anyhow::{Result, ensure};

use crate::stage::Stage;

use super::app::{App, Caller, NAMESPACE, Pod, SLOWEST_MS, Seen, now_ms};

/// How long callers are watched after a death, seconds.
const AFTER: u64 = 8;

/// Whom obit's promise covers where DNS is right or wrong about the dead: what DNS says is no evidence.
const HELD: [Caller; 2] = [Caller::Obit, Caller::ObitDns];

/// `kubectl delete pod --force --grace-period=0`.
pub(super) fn force_delete(stage: &Stage) -> Result<String> {
    let app = App::ready(stage)?;
    let (_, seen) = force_deleted(&app)?;
    seen.promise(&HELD, SLOWEST_MS)
}

/// The same, and what came of it.
pub(super) fn force_deleted(app: &App<'_>) -> Result<(Pod, Seen)> {
    let pod = app.server(&app.tonics_pod()?)?;
    let at = now_ms();
    app.run(&["delete", "pod", &pod.name, "--force", "--grace-period=0"])?;
    Ok((pod, app.saw(at, AFTER)?))
}

/// SIGKILL of the server's process.
pub(super) fn kill_9(stage: &Stage) -> Result<String> {
    let app = App::ready(stage)?;
    let pod = app.server(&app.tonics_pod()?)?;
    let at = now_ms();
    let killed = stage.cluster()?.kill_pod(&pod.node, &pod.uid)?;
    ensure!(
        killed == 1,
        "{killed} processes of {} were killed, and it has one",
        pod.name
    );
    app.saw(at, AFTER)?.promise(&HELD, SLOWEST_MS)
}

/// A pod that still runs is taken out of the service by its label: nobody calls it any more.
pub(super) fn relabel(stage: &Stage) -> Result<String> {
    let app = App::ready(stage)?;
    let name = app.tonics_pod()?;
    app.run(&["label", "pod", &name, "app=taken-out", "--overwrite"])?;
    let at = now_ms();
    let seen = app.saw(at, AFTER);
    app.run(&["delete", "pod", &name, "--grace-period=1"])?;
    let seen = seen?;
    let figures = seen.promise(&[Caller::Obit], SLOWEST_MS)?;
    let since = crate::saw::answered_since(seen.lines(Caller::Obit), at + 1_000);
    ensure!(
        !since.contains(&name),
        "{name} was still called a second after it had been taken out of {NAMESPACE}'s service"
    );
    Ok(format!("{figures}; not called by obit a second later"))
}
