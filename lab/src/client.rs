//! A client to measure: one that is built into the lab, a peer that is a program of its own, a proxy beside the workload, or
//! anybody's program that keeps the lab's contract.

use std::path::Path;

use crate::sidecar::{SETUPS, Setup};
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
    /// A program that `cargo xtask lab` builds beside this one, called with the client's name.
    Peer(Peer),
    /// This program with one plain gRPC connection to a proxy that runs beside it.
    Sidecar(Setup),
    /// A command line for a shell, with or without a monitor on its node.
    Command {
        /// The line.
        line: String,
        /// Whether a monitor runs.
        monitor: bool,
    },
}

/// A program that `cargo xtask lab` builds beside this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The program.
    pub program: &'static str,
    /// What builds it where it is absent.
    pub remedy: &'static str,
}

/// The peers that are programs of their own, each with the one that has it.
const PEERS: [(&str, Peer); 7] = [
    ("grpc-go", GO),
    ("grpc-go-least-request", GO),
    ("grpc-go-best", GO),
    ("go-http", GO),
    ("article", GO),
    ("ginepro", GINEPRO),
    ("ginepro-best", GINEPRO),
];

/// Of `lab/peers/go`.
const GO: Peer = Peer {
    program: "obit-lab-go",
    remedy: "install Go 1.26 or later and run `cargo xtask lab` again",
};

/// Of `lab/peers/ginepro`.
const GINEPRO: Peer = Peer {
    program: "obit-lab-ginepro",
    remedy: "`cargo xtask lab` builds it, and says why where it cannot",
};

impl From<ClientKind> for Client {
    fn from(kind: ClientKind) -> Self {
        Self {
            name: kind.name().to_owned(),
            program: Program::BuiltIn(kind),
        }
    }
}

impl Client {
    /// Every client that has a name here: those built in, then the peers, then the proxies.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let peers = PEERS.map(|(name, peer)| Self {
            name: name.to_owned(),
            program: Program::Peer(peer),
        });
        let proxies = SETUPS.map(|setup| Self {
            name: setup.name().to_owned(),
            program: Program::Sidecar(setup),
        });
        let built_in = ClientKind::ALL.into_iter().map(Self::from);
        built_in.chain(peers).chain(proxies).collect()
    }

    /// The client of that name.
    ///
    /// # Errors
    /// Names those there are.
    pub fn named(name: &str) -> Result<Self, String> {
        let all = Self::all();
        let names: Vec<_> = all.iter().map(|client| client.name.as_str()).collect();
        let names = names.join(", ");
        let named = all.into_iter().find(|client| client.name == name);
        named.ok_or_else(|| format!("the clients are {names}; --exec measures any other"))
    }

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

    /// The same under another name; only for one that is not told its name.
    #[must_use]
    pub fn called(self, name: String) -> Self {
        Self { name, ..self }
    }

    /// The command line of somebody's own.
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        match &self.program {
            Program::Command { line, .. } => Some(line),
            Program::BuiltIn(_) | Program::Peer(_) | Program::Sidecar(_) => None,
        }
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
            Program::Peer(_) | Program::Sidecar(_) => false,
            Program::Command { monitor, .. } => *monitor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_is_found_by_its_name_and_others_are_told_the_names() {
        for client in Client::all() {
            assert_eq!(Client::named(client.name()), Ok(client.clone()));
        }
        let told = Client::named("grpc").unwrap_err();
        assert!(
            told.contains("obit, obit-least-request, obit-dns, obit-blind, tonic, grpc-go,"),
            "{told}"
        );
    }

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
