//! How a bench and its roles speak: in lines, what a role is told on its standard input, what came of it as JSON on its
//! standard output.

use std::io::BufRead as _;

use anyhow::Context as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::child::LabProcess;
use crate::net::Host;

/// The word that starts a measured run.
pub(super) const GO: &str = "go";

/// What a role says once it can be told to go.
pub(super) const READY: &str = "ready";

/// The role's end: says ready, then runs `measured` each time it is told to go, and says what came of it.
pub(super) fn whenever_told<T: Serialize>(mut measured: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<()> {
    println!("{READY}");
    for line in std::io::stdin().lock().lines() {
        anyhow::ensure!(line? == GO, "told something else than {GO:?}");
        println!("{}", serde_json::to_string(&measured()?)?);
    }
    Ok(())
}

/// Starts a role in the namespace of `host`; it still has to say that it is ready.
pub(super) fn start(host: &Host, arguments: &[&str]) -> anyhow::Result<LabProcess> {
    let arguments: Vec<_> = arguments.iter().map(|it| (*it).to_owned()).collect();
    LabProcess::start(host, "role", &arguments)
}

/// Waits until it is ready.
pub(super) async fn ready(mut role: LabProcess) -> anyhow::Result<LabProcess> {
    role.expect(READY).await?;
    Ok(role)
}

/// Has it go.
pub(super) async fn go<T: DeserializeOwned>(role: &mut LabProcess) -> anyhow::Result<T> {
    told(role, GO).await
}

/// Has a role do what it does when told, and reads what came of it.
pub(super) async fn told<T: DeserializeOwned>(role: &mut LabProcess, word: &str) -> anyhow::Result<T> {
    role.tell(word).await?;
    read(role).await
}

/// What a role says next.
pub(super) async fn read<T: DeserializeOwned>(role: &mut LabProcess) -> anyhow::Result<T> {
    let line = role.line().await?;
    serde_json::from_str(&line).with_context(|| format!("a role said {line:?}"))
}
