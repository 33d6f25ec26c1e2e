//! The one place of this crate that reads clocks. Everything pure gets `now` as an argument.

use tokio::time::Instant;

/// The runtime's clock, which tests can pause.
#[expect(clippy::disallowed_methods, reason = "the shell that reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Completes at `when`, if ever. Cancel safe.
pub(crate) async fn reached(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// `CLOCK_MONOTONIC` in nanoseconds: the clock of every kernel observation, never paused.
#[expect(
    unsafe_code,
    reason = "the standard library does not show the value of CLOCK_MONOTONIC"
)]
pub(crate) fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid, writable timespec for the whole call. CLOCK_MONOTONIC exists on every Linux, so the
    // call cannot fail; were it to, `time` would stay zero.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_clock_is_read_in_nanoseconds_and_never_goes_back() {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let (first, second) = (monotonic_ns(), monotonic_ns());
        assert!(first <= second);
        // CLOCK_MONOTONIC leaves out the time a machine was suspended, uptime does not.
        #[expect(clippy::cast_precision_loss, reason = "a coarse comparison")]
        let read = first as f64 / 1e9;
        assert!(read <= seconds + 1.0, "{read} s read, up for {seconds} s");
        assert!(read > 0.0);
    }
}
