//! What takes privileges, tried in a process of its own: the programs are loaded and attached, and the privileges given up.

use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::kernel::{self, StartError};
use crate::privilege::{self, Dials, Keep};

/// Loading takes a fraction of a second; what takes this long does not come back.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// The hooks, each with what the kernel had against it.
    pub hooks: Vec<(String, Option<String>)>,
    /// What the kernel has against a reader for each processor; `None` also where none would be used.
    pub doorbells: Option<String>,
    /// Whether `CAP_BPF` has to stay; or why privileges cannot be given up.
    pub keeps_bpf: Result<bool, String>,
}

/// Tries everything in this process, which should end then: it can do nothing any more.
///
/// # Errors
/// The kernel does not take the programs' maps.
pub fn run() -> Result<Trial, String> {
    let tried = kernel::try_out().map_err(|error| chain(&error))?;
    let keep = Keep::needed_by(&tried.filter);
    let given_up = keep.and_then(|keep| privilege::give_up(keep, Dials::With(None)).map(|()| keep == Keep::Bpf));
    let hooks = tried.hooks.iter().map(|(name, result)| {
        let error = result.as_ref().err().map(|error| chain(error));
        ((*name).to_owned(), error)
    });
    let deaf = tried.doorbells.and_then(Result::err).map(StartError::Doorbell);
    Ok(Trial {
        hooks: hooks.collect(),
        doorbells: deaf.map(|error| chain(&error)),
        keeps_bpf: given_up.map_err(|error| chain(&error)),
    })
}

/// Has another process, started by `command`, print what [`run`] found, and reads it.
///
/// # Errors
/// Those of [`run`]; or the process cannot be started, ends early or does not end.
pub fn in_another_process(command: Command) -> Result<Trial, String> {
    within(PATIENCE, command)
}

fn within(patience: Duration, mut command: Command) -> Result<Trial, String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("the process that tries cannot be started: {error}"))?;
    let mut output = child.stdout.take();
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut said = String::new();
        let read = output.as_mut().map(|output| output.read_to_string(&mut said));
        // Nobody listens any more when it took too long.
        let _ = send.send((read, said));
    });
    let said = receive.recv_timeout(patience);
    if said.is_err() {
        // It may be gone by now.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    let Ok((_, said)) = said else {
        return Err(format!("the process that tries did not end within {patience:?}"));
    };
    serde_json::from_str(&said).unwrap_or_else(|_| Err(ended_early(status)))
}

fn ended_early(status: ExitStatus) -> String {
    format!("the process that tries ended early, with {status}")
}

/// An error and its causes, in the first line of each: the kernel's verifier explains itself on hundreds.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let errors = std::iter::successors(Some(error), |error| error.source());
    let mut lines: Vec<_> = errors
        .map(|error| error.to_string().lines().next().unwrap_or_default().to_owned())
        .collect();
    // An error that is transparent says what its cause says.
    lines.dedup();
    lines.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ends_without_a_word_is_told_of() {
        let error = in_another_process(Command::new("false")).unwrap_err();
        assert!(error.contains("ended early") && error.contains('1'), "{error}");
        let error = in_another_process(Command::new("/does/not/exist")).unwrap_err();
        assert!(error.contains("cannot be started"), "{error}");
    }

    #[test]
    fn a_process_that_does_not_end_is_ended() {
        let mut sleeper = Command::new("sleep");
        sleeper.arg("3600");
        let error = within(Duration::ZERO, sleeper).unwrap_err();
        assert!(error.contains("did not end"), "{error}");
    }

    #[test]
    fn what_it_found_comes_back_whole() {
        let trial = Trial {
            hooks: vec![("a".into(), None), ("b".into(), Some("no".into()))],
            doorbells: None,
            keeps_bpf: Err("no filter".into()),
        };
        for outcome in [Ok(trial), Err("no maps".to_owned())] {
            let mut echo = Command::new("printf");
            echo.args(["%s", &serde_json::to_string(&outcome).unwrap()]);
            assert_eq!(in_another_process(echo), outcome);
        }
    }

    #[test]
    fn causes_are_told_in_one_line() {
        let error = StartError::Doorbell(std::io::Error::other("no\nmore"));
        let said = chain(&error);
        assert!(said.ends_with(": no") && said.lines().count() == 1, "{said}");
    }
}
