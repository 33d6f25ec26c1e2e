//! Reports: what a run's trace says, as text for people and as JSON for programs.

mod figures;
mod json;
mod sentence;
mod text;
mod unmeasured;

pub use figures::{Figures, Quantiles};
pub use json::Line;
pub use sentence::sentence;
pub use text::{Compared, table};
pub use unmeasured::Unmeasured;

#[cfg(test)]
pub(crate) fn sample() -> crate::run::Run {
    crate::run::Run {
        scenario: "kill".into(),
        client: "obit".into(),
        asked: 150_000,
        figures: Figures {
            elapsed_ns: 4_200_000_000,
            success: 149_998,
            fail: 2,
            hung: 1,
            load_balance: [("pod-0".to_owned(), 100_000), ("pod-1".to_owned(), 49_998)].into(),
            failures: [("Unavailable: gone".to_owned(), 1)].into(),
            latency: Quantiles {
                count: 150_000,
                p50_ns: 12_000_000,
                p99_ns: 20_000_000,
                p999_ns: 31_000_000,
                max_ns: 1_400_000_000,
            },
            last_failure_ns: Some(1_003_000_000),
            slow: 1,
        },
        victim: Some("pod-1".into()),
        in_flight_on_victim: Some(97),
        death_ns: Some(1_000_200_000),
        evicted_after_ns: Some(350_000),
        wrongly_evicted: Some(0),
        recoveries: vec![],
        event_to_client: Some(Quantiles {
            count: 7,
            p50_ns: 60_500,
            p99_ns: 410_000,
            p999_ns: 410_000,
            max_ns: 410_000,
        }),
        tally: crate::pod::Tally {
            processed: 149_999,
            processed_twice: 3,
        },
        stopped: true,
        course: crate::record::Course::default(),
    }
}
