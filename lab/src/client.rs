//! A client to measure: one of the lab's own, or anybody's program that keeps the lab's contract.

use std::path::Path;

use crate::workload::ClientKind;

/// A client, and what it is called in reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    name: String,
    program: Program,
}

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// This program, with one of the libraries that are built into it.
    BuiltIn(ClientKind),
    /// A command line for a shell, with or without a monitor on its node.
    Command {
        /// The line.
        line: String,
        /// Whether a monitor runs.
        monitor: bool,
    },
}

impl From<ClientKind> for Client {
    fn from(kind: ClientKind) -> Self {
        Self {
            name: kind.name().to_owned(),
            program: Program::BuiltIn(kind),
        }
    }
}

impl Client {
    /// Somebody's own, called like its program's file.
    #[must_use]
    pub fn of_command(line: &str, monitor: bool) -> Self {
        let program = line.split_whitespace().next().unwrap_or(line);
        let name = Path::new(program).file_stem().and_then(|name| name.to_str());
        Self {
            name: name.unwrap_or(program).to_owned(),
            program: Program::Command {
                line: line.to_owned(),
                monitor,
            },
        }
    }

    /// What it is called in reports.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What runs.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Whether a monitor runs on its node.
    #[must_use]
    pub fn needs_monitor(&self) -> bool {
        match &self.program {
            Program::BuiltIn(kind) => kind.needs_monitor(),
            Program::Command { monitor, .. } => *monitor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_s_own_is_called_like_its_program() {
        for (command, name) in [
            ("./my-client", "my-client"),
            ("/opt/bin/theirs.py --fast", "theirs"),
            ("python3 x.py", "python3"),
        ] {
            assert_eq!(Client::of_command(command, false).name(), name);
        }
    }
}
