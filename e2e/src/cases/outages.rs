//! Something under the application goes away: a node, the API, DNS's view of it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::clock;
use crate::interrupt;
use crate::stage::Stage;

use super::app::{App, Caller, Pod, SERVERS, SLOWEST_MS, now_ms};

/// Seconds that a node is away. Kubernetes takes 10 to notice: what saves calls before that is obit.
const NODE_AWAY: u64 = 6;

/// Servers beside those, which are on the callers' node.
const AT_HOME: usize = 3;

/// Seconds that the API is away.
const API_AWAY: u64 = 30;

/// Seconds that DNS is to name a dead pod: its answers' time to live and its cache.
const STALE: u64 = 30;

/// How long DNS may take to tell of a new server: its answers' time to live, its cache's, and some seconds.
const TOLD_BY_DNS: Duration = Duration::from_secs(75);

/// How long nodes may take to be ready again.
const BACK: Duration = Duration::from_secs(60);

/// A node's link goes down while calls are in flight to its pods, tonic's among them.
pub(super) fn node_loss(stage: &Stage) -> Result<String> {
    let app = App::ready(stage)?;
    let cluster = stage.cluster()?;
    let nodes = stage.nodes()?;
    let lost = nodes.iter().find(|node| **node != app.home).context("a second node")?;
    let (on, all) = move_tonic_away(&app)?;
    let at = now_ms();
    cluster.set_link(lost, false)?;
    let seen = app.saw(at, NODE_AWAY);
    // Whatever was seen, the next case needs it.
    cluster.set_link(lost, true)?;
    stage
        .kubectl()
        .wait(&["--for=condition=Ready", "node", "--all"], BACK)?;
    let figures = seen?.promise(&[Caller::Obit], SLOWEST_MS)?;
    Ok(format!("{on} of {all} servers lost; {figures}"))
}

/// Sees to it that tonic's server is on another node than the callers, which the resolver of a pod avoids where it can: for a while
/// there is no server on theirs. How many of how many servers are elsewhere then.
fn move_tonic_away(app: &App<'_>) -> Result<(usize, usize)> {
    app.kubectl().run(&["cordon", &app.home])?;
    let moved = app.servers().and_then(|servers| {
        let at_home = servers.iter().filter(|pod| pod.node == app.home);
        let mut delete = vec!["delete", "pod"];
        delete.extend(at_home.map(|pod| pod.name.as_str()));
        if delete.len() > 2 {
            app.run(&delete)?;
        }
        app.rolled_out("greeter")?;
        app.settle()
    });
    app.kubectl().run(&["uncordon", &app.home])?;
    moved?;
    // The new ones come where there are fewest.
    app.run(&[
        "scale",
        "deployment/greeter",
        &format!("--replicas={}", SERVERS + AT_HOME),
    ])?;
    app.rolled_out("greeter")?;
    let servers = app.servers()?;
    let at_home: Vec<_> = servers.iter().filter(|pod| pod.node == app.home).collect();
    await_calls(app, Caller::ObitDns, &at_home)?;
    let at_home = at_home.len();
    let tonics = app.server(&app.tonics_pod()?)?;
    ensure!(
        tonics.node != app.home && at_home > 0,
        "tonic's server is on {} and {at_home} servers are on {}, where the callers are",
        tonics.node,
        app.home
    );
    Ok((servers.len() - at_home, servers.len()))
}

/// Waits until a caller has called each of these: before, they are no place to go to.
fn await_calls(app: &App<'_>, caller: Caller, servers: &[&Pod]) -> Result<()> {
    let deadline = clock::now() + TOLD_BY_DNS;
    loop {
        let called = app.called(caller)?;
        if servers.iter().all(|pod| called.contains(&pod.name)) {
            return Ok(());
        }
        if clock::now() >= deadline {
            let who = caller.name();
            bail!("{who} has called {called:?} alone, {TOLD_BY_DNS:?} after others were ready");
        }
        interrupt::pause(Duration::from_secs(1))?;
    }
}

/// The API server goes away, and a server is killed meanwhile.
pub(super) fn api_away(stage: &Stage) -> Result<String> {
    let app = App::ready(stage)?;
    let cluster = stage.cluster()?;
    let pod = app.server(&app.tonics_pod()?)?;
    let at = now_ms();
    cluster.stop_api()?;
    let killed = interrupt::pause(Duration::from_secs(5)).and_then(|()| cluster.kill_pod(&pod.node, &pod.uid));
    let waited = interrupt::pause(Duration::from_millis((at + API_AWAY * 1_000).saturating_sub(now_ms())));
    cluster.start_api()?;
    waited?;
    ensure!(killed? > 0, "nothing of {} was killed", pod.name);
    app.saw(at, API_AWAY)?
        .promise(&[Caller::Obit, Caller::ObitDns], SLOWEST_MS)
}

/// DNS goes on naming a pod that was deleted.
pub(super) fn stale_dns(stage: &Stage) -> Result<String> {
    let app = App::ready(stage)?;
    let cluster = stage.cluster()?;
    let pod = app.server(&app.tonics_pod()?)?;
    cluster.set_dns_watch(false)?;
    let at = now_ms();
    let stale = app
        .run(&["delete", "pod", &pod.name, "--force", "--grace-period=0"])
        .and_then(|_| named_for(&app, &pod.address));
    let seen = app.saw(at, STALE);
    cluster.set_dns_watch(true)?;
    let stale = stale?;
    let figures = seen?.promise(&[Caller::Obit, Caller::ObitDns], SLOWEST_MS)?;
    Ok(format!(
        "DNS named the dead pod for at least {:.0} s; {figures}",
        stale.as_secs_f64()
    ))
}

/// Asks DNS again and again for as long as the name is to be stale; for how long it was.
fn named_for(app: &App<'_>, address: &str) -> Result<Duration> {
    let begun = clock::now();
    loop {
        let named = app.named()?;
        let since = begun.elapsed();
        if !named.contains(address) {
            bail!("DNS named the dead pod for {since:?} only, so this case shows nothing");
        }
        if since >= Duration::from_secs(STALE) {
            return Ok(since);
        }
        interrupt::pause(Duration::from_secs(2))?;
    }
}
