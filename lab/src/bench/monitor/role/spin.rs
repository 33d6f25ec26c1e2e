//! Ordinary threads that never rest, one for each processor.

use std::hint::spin_loop;

/// Says ready once every thread spins; ends with its standard input.
pub(super) fn run() -> anyhow::Result<()> {
    let processors = std::thread::available_parallelism()?.get();
    let started = std::sync::Barrier::new(processors + 1);
    std::thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(|| {
                started.wait();
                loop {
                    spin_loop();
                }
            });
        }
        started.wait();
        println!("{READY}");
        // The threads end with the process, and the process with the bench that started it.
        let _ = std::io::stdin().lines().next();
        std::process::exit(0);
    })
}
use crate::bench::talk::READY;
