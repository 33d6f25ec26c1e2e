//! What is made of what was found. Pure.

#[cfg(test)]
mod tests;

use super::report::{Check, Hook, Signal};
use super::trial::Trial;
use crate::kernel::{self, Inspection, Lack};
use crate::priority::Scheduling;

/// What came of trying: not tried; could not be tried, and why; tried.
pub(super) type Tried<'a> = Option<&'a Result<Trial, String>>;

/// The capabilities are there, and yet the kernel refuses.
const REFUSED: &str = "run it outside of user namespaces, where its capabilities count, and on a kernel that is not locked down \
                       (/sys/kernel/security/lockdown); if it is, please report this with what `obit doctor --json` says";
const NEWER: &str = "Linux 6.1 and newer have all of them";

pub(super) fn programs(built_in: bool) -> Check {
    if built_in {
        Check::fine("programs", "built into this binary")
    } else {
        Check::missing(
            "programs",
            "this binary was built without its eBPF programs",
            "run `cargo xtask build-ebpf`, then build it again",
        )
    }
}

/// The kernel's description of its types.
pub(super) fn types(found: &Inspection) -> Vec<Check> {
    const SUBJECT: &str = "kernel types";
    let members = match &found.members {
        Ok(members) => members,
        Err(_) if found.lacks.contains(&Lack::Btf) => {
            return vec![Check::missing(
                SUBJECT,
                "/sys/kernel/btf/vmlinux is missing",
                "boot a kernel built with CONFIG_DEBUG_INFO_BTF; in a container, mount /sys",
            )];
        }
        Err(error) => {
            return vec![Check::missing(
                SUBJECT,
                error.to_string(),
                "boot a kernel whose type information is whole; in a container, mount /sys",
            )];
        }
    };
    let missing: Vec<_> = members.iter().filter(|member| member.offset.is_none()).collect();
    let counted = format!("{} of {} members found", members.len() - missing.len(), members.len());
    let mut checks = vec![];
    for member in missing {
        let kernel::Member { path, needed_for, .. } = member;
        let said = format!("no `{path}`, which {needed_for} needs");
        // The same judgement as at a start.
        let fatal = found
            .lacks
            .iter()
            .any(|lack| matches!(lack, Lack::Member(lacked) if path.ends_with(lacked)));
        checks.push(if fatal {
            Check::missing(
                SUBJECT,
                said,
                "Linux 5.15 or newer is needed, 6.1 or newer for everything",
            )
        } else {
            Check::limited(SUBJECT, said, NEWER)
        });
    }
    checks.insert(0, Check::fine(SUBJECT, counted));
    checks
}

pub(super) fn capabilities(lacks: &[Lack]) -> Check {
    let missing = lacks.iter().find_map(|lack| match lack {
        Lack::Capabilities(missing) => Some(missing.join(" and ")),
        _ => None,
    });
    match missing {
        None => Check::fine("capabilities", "those that loading and attaching take are held"),
        Some(missing) => Check::missing(
            "capabilities",
            format!("{missing} missing"),
            "run it as root, or grant them: AmbientCapabilities= in a systemd unit, `setcap cap_bpf,cap_perfmon+ep obit`, or \
             `securityContext.capabilities.add: [BPF, PERFMON]` in Kubernetes",
        ),
    }
}

/// The hooks, with what came of trying them.
pub(super) fn hooks(found: &[kernel::Hook], tried: Tried<'_>) -> Vec<Hook> {
    let results = match tried {
        Some(Ok(trial)) => trial.hooks.as_slice(),
        _ => &[],
    };
    let state = |hook: &kernel::Hook| {
        let result = results.iter().find(|(name, _)| name == hook.name);
        Hook {
            name: hook.name,
            needed: hook.needed,
            described: hook.described,
            attached: result.map(|(_, error)| error.is_none()),
            error: result.and_then(|(_, error)| error.clone()),
        }
    };
    found.iter().map(state).collect()
}

pub(super) fn of_hooks(hooks: &[Hook], tried: Tried<'_>) -> Check {
    const SUBJECT: &str = "hooks";
    if let Some(Err(error)) = tried {
        return Check::missing(SUBJECT, error, REFUSED);
    }
    let names = |bad: fn(&&Hook) -> bool| {
        let names: Vec<_> = hooks.iter().filter(bad).map(told).collect();
        names.join("; ")
    };
    let of = hooks.len();
    let needed = names(|hook| hook.needed && is_lost(hook));
    if !needed.is_empty() {
        return Check::missing(
            SUBJECT,
            needed,
            "Linux 5.15 or newer is needed; where it is, please report this",
        );
    }
    let lost = names(|hook| is_lost(hook));
    if !lost.is_empty() {
        return Check::limited(SUBJECT, lost, NEWER);
    }
    if tried.is_none() {
        let said = format!(
            "all {of} are described by this kernel; attaching was not tried, for want of what is missing above"
        );
        return Check::untried(SUBJECT, said);
    }
    Check::fine(SUBJECT, format!("all {of} attached"))
}

/// Whether it cannot be attached to; one that was not tried and is described passes.
fn is_lost(hook: &Hook) -> bool {
    !hook.attached.unwrap_or(hook.described)
}

fn told(hook: &Hook) -> String {
    match &hook.error {
        Some(error) => format!("{}: {error}", hook.name),
        None => format!("{}: this kernel has no such hook", hook.name),
    }
}

/// What a monitor would see here.
pub(super) fn signals(found: &Inspection, hooks: &[Hook]) -> Vec<Signal> {
    let blocked = |signal| {
        let lost = hooks.iter().find(|hook| {
            let all = hook.needed
                || found
                    .hooks
                    .iter()
                    .any(|it| it.name == hook.name && it.signals.contains(&signal));
            all && is_lost(hook)
        });
        if let Some(hook) = lost {
            return Some(format!("the hook {} is missing", hook.name));
        }
        let possible = found.signals.contains(&signal);
        (!possible).then(|| "a member of the kernel's structures is missing".to_owned())
    };
    let state = |signal: kernel::Signal| {
        let why = blocked(signal);
        Signal {
            name: signal.name(),
            available: why.is_none(),
            why,
        }
    };
    kernel::Signal::ALL.into_iter().map(state).collect()
}

pub(super) fn of_signals(signals: &[Signal], tried: Tried<'_>) -> Check {
    let names = |available| {
        let some = signals.iter().filter(|signal| signal.available == available);
        some.map(|signal| signal.name).collect::<Vec<_>>().join(" ")
    };
    let (seen, unseen) = (names(true), names(false));
    if unseen.is_empty() && !matches!(tried, Some(Ok(_))) {
        Check::untried("signals", format!("to be expected: {seen}"))
    } else if unseen.is_empty() {
        Check::fine("signals", seen)
    } else {
        let seen = if seen.is_empty() { "none".to_owned() } else { seen };
        Check::limited(
            "signals",
            format!("{seen}; not {unseen}"),
            "what is missing in kernel types and hooks is what they need",
        )
    }
}

/// What only trying shows.
pub(super) fn tried(tried: Tried<'_>) -> Vec<Check> {
    let Some(Ok(trial)) = tried else {
        return vec![Check::untried(
            "privileges",
            "giving them up was not tried, for the same reason",
        )];
    };
    let mut checks = vec![];
    if let Some(error) = &trial.doorbells {
        checks.push(Check::missing(
            "doorbells",
            error,
            "run the monitor with --no-doorbells, or do what is said here",
        ));
    }
    checks.push(match &trial.keeps_bpf {
        Ok(false) => Check::fine("privileges", "all are given up after the start"),
        Ok(true) => Check::limited(
            "privileges",
            "CAP_BPF stays after the start, for changes of the watch filter alone",
            "Linux 5.19 and newer do without",
        ),
        Err(error) => Check::missing(
            "privileges",
            error,
            "allow seccomp filters and PR_CAPBSET_DROP, or run the monitor with --keep-privileges",
        ),
    });
    checks
}

pub(super) fn scheduling(allowed: Result<Scheduling, String>) -> Check {
    const SUBJECT: &str = "scheduling";
    match allowed {
        Ok(Scheduling::Fifo) => Check::fine(SUBJECT, "readers may run at SCHED_FIFO"),
        Ok(Scheduling::Nice) => Check::limited(
            SUBJECT,
            "nice -20, not SCHED_FIFO: with all processors busy some verdicts are milliseconds late",
            "give the monitor's cgroup real-time runtime (cpu.rt_runtime_us)",
        ),
        Err(error) => Check::limited(
            SUBJECT,
            format!("ordinary priority ({error}): with all processors busy verdicts are milliseconds late"),
            "grant CAP_SYS_NICE",
        ),
    }
}
