//! What a process takes of the machine, as `/proc` says: memory, processor time, and how its reader is scheduled.

use std::path::Path;

use anyhow::Context as _;

/// `SCHED_FIFO` (`include/uapi/linux/sched.h`).
const SCHED_FIFO: u64 = 1;

/// What the names of the monitor's reading threads begin with.
const READER: &str = "obit-reader";

/// Memory of a process, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    /// Resident now (`VmRSS`).
    pub(super) resident: u64,
    /// Resident at most since it started (`VmHWM`).
    pub(super) peak: u64,
}

/// The memory of process `pid`.
pub(super) fn memory(pid: u32) -> anyhow::Result<Memory> {
    let status = read(pid, "status")?;
    memory_of(&status).with_context(|| format!("/proc/{pid}/status has no VmRSS and VmHWM"))
}

/// Processor time of all threads of `pid` since it started, seconds, to a hundredth.
#[expect(clippy::cast_precision_loss, reason = "ticks of a bench are below 2^53")]
pub(super) fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let ticks = ticks_of(&read(pid, "stat")?).with_context(|| format!("/proc/{pid}/stat has no times"))?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The same of `pid` with all its children that it has waited for, and theirs.
#[expect(clippy::cast_precision_loss, reason = "ticks of a bench are below 2^53")]
pub(super) fn family_cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = read(pid, "stat")?;
    let ticks = ticks_of(&stat).and_then(|own| Some(own + field(&stat, 16)? + field(&stat, 17)?));
    let ticks = ticks.with_context(|| format!("/proc/{pid}/stat has no times"))?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Whether the monitor's reader runs at `SCHED_FIFO`.
pub(super) fn reader_is_realtime(pid: u32) -> anyhow::Result<bool> {
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // Other threads come and go meanwhile.
        let Ok(stat) = std::fs::read_to_string(task?.path().join("stat")) else {
            continue;
        };
        if stat.contains(&format!("({READER}")) {
            return Ok(policy_of(&stat).context("a task without a policy")? == SCHED_FIFO);
        }
    }
    anyhow::bail!("the monitor has no thread called {READER}")
}

/// How many processes called `obit` there are besides process `own`: what their programs cost counts for both sides of a
/// pair.
pub(super) fn other_monitors(own: Option<u32>) -> usize {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return 0;
    };
    let is_other = |process: &Path| {
        let pid = process.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
        pid.is_some_and(|pid| Some(pid) != own)
            && std::fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == "obit")
    };
    processes.flatten().filter(|process| is_other(&process.path())).count()
}

fn read(pid: u32, file: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::read_to_string(&path).context(path)
}

fn memory_of(status: &str) -> Option<Memory> {
    let bytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    };
    Some(Memory {
        resident: bytes("VmRSS:")?,
        peak: bytes("VmHWM:")?,
    })
}

/// The field of `/proc/PID/stat` with this number, counted from 1 as in proc(5). The name in field 2 may hold anything.
fn field(stat: &str, number: usize) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

/// User and system time, clock ticks.
fn ticks_of(stat: &str) -> Option<u64> {
    Some(field(stat, 14)? + field(stat, 15)?)
}

fn policy_of(stat: &str) -> Option<u64> {
    field(stat, 41)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "4711 (a) b (c) S 1 4711 4711 0 -1 4194560 900 0 3 0 250 50 0 0 20 0 3 0 100 5000 600 \
        18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 1 10 1 0 0 0 0 0 0 0 0 0 0 0";

    #[test]
    fn times_and_policy_are_found_behind_any_name() {
        assert_eq!(ticks_of(STAT), Some(300));
        assert_eq!(policy_of(STAT), Some(SCHED_FIFO));
        assert_eq!(ticks_of("4711 (obit"), None);
    }

    #[test]
    fn memory_is_told_in_bytes() {
        let status = "Name:\tobit\nVmHWM:\t   20480 kB\nVmRSS:\t   10240 kB\n";
        assert_eq!(
            memory_of(status),
            Some(Memory {
                resident: 10 << 20,
                peak: 20 << 20
            })
        );
        assert_eq!(memory_of("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn this_process_has_memory_and_has_used_a_processor() {
        let own = std::process::id();
        let memory = memory(own).unwrap();
        assert!(memory.peak >= memory.resident && memory.resident > 0, "{memory:?}");
        assert!(cpu_seconds(own).unwrap() >= 0.0);
        assert!(reader_is_realtime(own).unwrap_err().to_string().contains(READER));
    }
}
