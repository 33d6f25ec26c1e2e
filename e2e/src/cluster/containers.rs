//! The containers of a pod, as containerd knows them: by the labels that kubelet gives them, never by pid.

use anyhow::{Context as _, Result, ensure};

use super::Ground;
use super::node::Node;

/// SIGKILLs the first process of each container of the pod with this uid; its sandbox lives on. Returns how many there were.
pub(super) fn kill(ground: &Ground, node: &Node, pod_uid: &str) -> Result<usize> {
    ensure!(is_uid(pod_uid), "{pod_uid:?} is no uid of a pod");
    let filter = format!(r#"labels."io.kubernetes.pod.uid"=={pod_uid},labels."io.cri-containerd.kind"==container"#);
    let of_pod = node.ctr(ground).args(["containers", "ls", "--quiet", &filter]).must()?;
    let running = node.ctr(ground).args(["tasks", "ls"]).must()?;
    let running = running_tasks(&running);
    let killed: Vec<_> = of_pod
        .lines()
        .map(str::trim)
        .filter(|id| running.contains(id))
        .collect();
    ensure!(
        !killed.is_empty(),
        "no container of the pod {pod_uid} runs on {}",
        node.name()
    );
    for id in &killed {
        // containerd itself knows which process that is; one that ended meanwhile is not another's.
        let kill = node
            .ctr(ground)
            .args(["tasks", "kill", "--signal", "SIGKILL", id])
            .must();
        kill.with_context(|| format!("killing container {id} on {}", node.name()))?;
    }
    Ok(killed.len())
}

fn is_uid(uid: &str) -> bool {
    uid.len() == 36 && uid.chars().all(|letter| letter.is_ascii_hexdigit() || letter == '-')
}

/// The ids in what `ctr tasks ls` prints: a heading, then id, pid and status.
fn running_tasks(listed: &str) -> Vec<&str> {
    listed
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (id, _pid, status) = (fields.next()?, fields.next()?, fields.next()?);
            (status == "RUNNING").then_some(id)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_running_tasks_are_found() {
        let listed = "TASK    PID    STATUS    \nabc     24     RUNNING\ndef     0      STOPPED\n";
        assert_eq!(running_tasks(listed), ["abc"]);
    }

    #[test]
    fn what_is_no_uid_never_becomes_a_filter() {
        assert!(is_uid("d0a5f6d2-6c0e-4a44-8b57-1b1a2f6b3d55"));
        for uid in ["", "x", "d0a5f6d2-6c0e-4a44-8b57-1b1a2f6b3d5,"] {
            assert!(!is_uid(uid), "{uid}");
        }
    }
}
