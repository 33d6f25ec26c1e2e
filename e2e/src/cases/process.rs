//! A container's process as this kernel shows it: for figures and privileges that nobody in the container could print.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// The process `program` in the pod of that uid, on this machine. Only read, never signalled.
///
/// # Errors
/// When there is none.
pub(super) fn find(pod_uid: &str, program: &str) -> Result<u32> {
    let entries = fs::read_dir("/proc").context("/proc")?;
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let found = numbers.filter(|pid| {
        // Processes come and go meanwhile.
        let read = |what| fs::read_to_string(format!("/proc/{pid}/{what}")).unwrap_or_default();
        is_of_pod(&read("cgroup"), pod_uid) && read("cmdline").split('\0').next() == Some(program)
    });
    found
        .min()
        .with_context(|| format!("no process {program} of the pod {pod_uid} runs on this machine"))
}

/// Whether a process with such a `/proc/PID/cgroup` belongs to a pod; systemd writes the uid with underscores.
fn is_of_pod(cgroup: &str, pod_uid: &str) -> bool {
    !pod_uid.is_empty()
        && [pod_uid.to_owned(), pod_uid.replace('-', "_")]
            .iter()
            .any(|uid| cgroup.contains(&format!("pod{uid}")))
}

/// A line of `/proc/PID/status`.
pub(super) fn status(pid: u32, name: &str) -> Result<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid} is gone"))?;
    let value = field(&text, name).with_context(|| format!("no {name} in /proc/{pid}/status"))?;
    Ok(value.to_owned())
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim())
}

/// Resident memory, bytes.
pub(super) fn resident(pid: u32) -> Result<u64> {
    let text = status(pid, "VmRSS")?;
    let kib: u64 = text
        .trim_end_matches("kB")
        .trim()
        .parse()
        .context("VmRSS is no number")?;
    Ok(kib * 1_024)
}

/// Processor time of all its threads until now, in hundredths of a second (USER_HZ, which every kernel shows as 100).
pub(super) fn ticks(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(Path::new(&path)).with_context(|| format!("process {pid} is gone"))?;
    ticks_of(&text).with_context(|| format!("{path} is not understood"))
}

/// utime and stime: fields 14 and 15 (proc_pid_stat(5)); the second field may hold blanks, and ends with a parenthesis.
fn ticks_of(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_names_its_pod_in_either_spelling() {
        assert!(is_of_pod("0::/kubelet/pod1-2-3/abc\n", "1-2-3"));
        assert!(is_of_pod("1:cpu:/kubepods.slice/kubepods-pod1_2_3.slice/x\n", "1-2-3"));
        assert!(!is_of_pod("0::/kubelet/pod9/abc\n", "1-2-3"));
        assert!(!is_of_pod("0::/kubelet/pod9/abc\n", ""));
    }

    #[test]
    fn processor_time_is_found_behind_a_strange_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 1 0 0 0 30 12 0 0 20 0 1 0 1 1 1";
        assert_eq!(ticks_of(stat), Some(42));
        assert_eq!(ticks_of("nothing"), None);
    }

    #[test]
    fn a_field_of_the_status_is_its_value() {
        let status = "Name:\tobit\nCapEff:\t0000000000000000\nSeccomp:\t2\nSeccomp_filters:\t2\n";
        assert_eq!(
            (field(status, "CapEff"), field(status, "Seccomp")),
            (Some("0000000000000000"), Some("2"))
        );
        assert_eq!(field(status, "Cap"), None);
    }

    #[test]
    fn this_process_has_figures() {
        let own = std::process::id();
        assert!(resident(own).expect("it runs") > 0);
        assert!(ticks(own).is_ok());
    }
}
