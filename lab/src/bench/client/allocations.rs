//! Counts what is allocated for a pick, and for a whole call through obit's client and through bare hyper. In a program of its own,
//! whose allocator counts: what counts costs, and must not stand under the other parts.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::BodyExt as _;
use obit::policy::Call;
use serde::{Deserialize, Serialize};

use super::role::pick::{Outside, candidates, heads, now, policies};
use super::role::{bare, of_endpoints, request, settled};

/// Endpoints among which is picked.
const ENDPOINTS: u32 = 1_000;

/// Calls before those that are counted: buffers have grown then.
const WARM_UP: u32 = 200;

/// What the counting program is told.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "obit-lab-allocations", version)]
pub struct AllocationArgs {
    /// The process that must outlive this one.
    #[arg(long)]
    parent: u32,
    /// Who answers the calls.
    #[arg(long)]
    server: SocketAddr,
    /// How many calls are counted.
    #[arg(long)]
    calls: u32,
}

/// What was allocated.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Allocations {
    /// For a pick, under the policy that allocated most.
    pub(super) a_pick: f64,
    /// For a whole call through obit's client: the request itself, hyper and h2 included.
    pub(super) a_call: f64,
    /// For the same call through bare hyper.
    pub(super) a_bare_call: f64,
}

/// Counts, with `allocations_of`, how often this thread allocates; prints what came of it.
///
/// # Errors
/// When a call fails, or the lab that started this is gone.
pub fn count(args: &AllocationArgs, allocations_of: fn(&mut dyn FnMut()) -> u64) -> anyhow::Result<()> {
    crate::child::die_with_parent(args.parent)?;
    let allocations = Allocations {
        a_pick: picks(allocations_of)?,
        a_call: calls(args, true, allocations_of)?,
        a_bare_call: calls(args, false, allocations_of)?,
    };
    println!("{}", serde_json::to_string(&allocations)?);
    Ok(())
}

fn picks(allocations_of: fn(&mut dyn FnMut()) -> u64) -> anyhow::Result<f64> {
    let (candidates, heads) = (candidates(ENDPOINTS), heads()?);
    let mut most = 0.0_f64;
    for (_, policy) in policies() {
        let picker = policy.prepare(candidates.clone(), now());
        let mut picks = || {
            for head in &heads {
                std::hint::black_box(picker.pick(&Call::new(head, &Outside)));
            }
        };
        // The generator of a thread is made with its first number.
        picks();
        most = most.max(each(allocations_of(&mut picks), heads.len()));
    }
    Ok(most)
}

/// On one thread, one call after the other: whatever is allocated for them is counted.
fn calls(
    args: &AllocationArgs,
    through_obit: bool,
    allocations_of: fn(&mut dyn FnMut()) -> u64,
) -> anyhow::Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = runtime.block_on(async {
        let client = of_endpoints(&[args.server]).build()?;
        settled(&client, 1).await?;
        // What the dial left behind ends.
        tokio::time::sleep(Duration::from_millis(100)).await;
        anyhow::Ok(client)
    })?;
    let hyper = runtime.block_on(bare(args.server))?;
    let some = async |count: u32| {
        for _ in 0..count {
            if through_obit {
                client.request(request("")?).await?.into_body().collect().await?;
            } else {
                let answer = hyper.clone().send_request(request("http://bench")?).await?;
                answer.into_body().collect().await?;
            }
        }
        anyhow::Ok(())
    };
    runtime.block_on(some(WARM_UP))?;
    let mut outcome = Ok(());
    let count = allocations_of(&mut || outcome = runtime.block_on(some(args.calls)));
    outcome?;
    Ok(each(count, usize::try_from(args.calls)?))
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bench are below 2^53")]
fn each(count: u64, among: usize) -> f64 {
    count as f64 / among as f64
}
