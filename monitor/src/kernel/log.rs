//! What the programs themselves log, passed on to `tracing`.

use aya_log::EbpfLogger;
use log::{Level, Log, Metadata, Record};
use tracing::level_filters::LevelFilter;

/// The number the programs compare their levels with; 0 logs nothing.
pub(super) fn level_number(level: LevelFilter) -> u8 {
    match level.into_level() {
        None => 0,
        Some(tracing::Level::ERROR) => 1,
        Some(tracing::Level::WARN) => 2,
        Some(tracing::Level::INFO) => 3,
        Some(tracing::Level::DEBUG) => 4,
        Some(tracing::Level::TRACE) => 5,
    }
}

/// The programs' log, to be flushed by the reader.
pub(super) type ProgramLog = EbpfLogger<ToTracing>;

/// Takes aya's log records to `tracing`.
#[derive(Debug, Clone, Copy)]
pub(super) struct ToTracing;

impl Log for ToTracing {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let message = record.args();
        match record.level() {
            Level::Error => tracing::error!(target: "obit::ebpf", "{message}"),
            Level::Warn => tracing::warn!(target: "obit::ebpf", "{message}"),
            Level::Info => tracing::info!(target: "obit::ebpf", "{message}"),
            Level::Debug => tracing::debug!(target: "obit::ebpf", "{message}"),
            Level::Trace => tracing::trace!(target: "obit::ebpf", "{message}"),
        }
    }

    fn flush(&self) {}
}
