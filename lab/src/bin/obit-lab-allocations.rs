//! `obit-lab-allocations`: counts allocations for the client library's bench. See [`obit_lab::bench::client::count`].

use clap::Parser as _;
use obit_lab::bench::client::{AllocationArgs, count};

fn main() -> anyhow::Result<()> {
    count(&AllocationArgs::parse(), |work| {
        allocation_counter::measure(work).count_total
    })
}
