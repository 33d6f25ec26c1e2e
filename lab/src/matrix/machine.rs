//! What the machine says of itself.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::record::Machine;

/// This machine.
#[must_use]
pub(crate) fn machine() -> Machine {
    let file = |path| std::fs::read_to_string(path).unwrap_or_default();
    Machine {
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        cpu: cpu(&file("/proc/cpuinfo")),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: memory(&file("/proc/meminfo")),
    }
}

/// Now, RFC 3339, to the second.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a result carries the date of the calendar")]
pub(crate) fn date() -> String {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let second = i64::try_from(since_epoch.as_secs()).unwrap_or_default();
    jiff::Timestamp::from_second(second).unwrap_or_default().to_string()
}

/// The name of the first processor. Not every architecture tells one.
fn cpu(cpuinfo: &str) -> Option<String> {
    let names = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    let mut names = names.filter(|(key, _)| key.trim() == "model name");
    names.next().map(|(_, name)| name.trim().to_owned())
}

fn memory(meminfo: &str) -> Option<u64> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_and_the_memory_are_found_or_unknown() {
        let text = "processor\t: 0\nmodel name\t: Some(R) CPU @ 2.5GHz\nprocessor\t: 1\nmodel name\t: Other\n";
        assert_eq!(cpu(text).as_deref(), Some("Some(R) CPU @ 2.5GHz"));
        assert_eq!(cpu("processor\t: 0\nBogoMIPS\t: 50\n"), None);
        assert_eq!(memory("MemTotal:        8192 kB\nMemFree: 1 kB\n"), Some(8 << 20));
        assert_eq!(memory(""), None);
    }

    #[test]
    fn this_machine_has_a_kernel_and_a_date() {
        assert!(machine().kernel.starts_with(|first: char| first.is_ascii_digit()));
        let date = date();
        assert!(date.len() == 20 && date.ends_with('Z'), "{date}");
    }
}
