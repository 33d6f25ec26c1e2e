//! ginepro as a client of obit's lab. Keeps the contract of `docs/lab.md`.

mod call;
mod channel;
mod contract;
mod load;

use anyhow::Context as _;

use contract::Environment;

fn main() -> anyhow::Result<()> {
    let name = std::env::args()
        .nth(1)
        .context("name one client: ginepro, ginepro-best")?;
    let told = Environment::read()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let lines = runtime.block_on(async { load::drive(channel::named(&name, &told).await?, &told).await })?;
    // Calls that hang hold their tasks; nothing of theirs is needed any more.
    runtime.shutdown_background();
    contract::say(&lines).context("the lab does not listen")
}
