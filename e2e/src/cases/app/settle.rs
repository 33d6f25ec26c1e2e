//! Waits until nothing is left of an earlier case: so that each case shows its own fault.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::clock;
use crate::interrupt;

use super::{App, Caller, Pod, SERVERS};

/// How long it may take: DNS names a dead pod for half a minute, and a node comes back after some seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often it is looked at: each time costs some programs' starts.
const AGAIN: Duration = Duration::from_millis(500);

/// Seconds in a row that must be clean.
const CLEAN: usize = 2;

impl App<'_> {
    /// Waits until all servers are ready, slices and DNS name just these, and every caller has clean seconds.
    pub(in crate::cases) fn settle(&self) -> Result<()> {
        let deadline = clock::now() + PATIENCE;
        let mut tonic_restarted = false;
        loop {
            // While the API comes back it may not answer: that is one more reason to wait.
            let why = match self.unsettled() {
                Ok(None) => return Ok(()),
                Ok(Some(why)) => why,
                Err(error) => format!("{error:#}"),
            };
            if clock::now() >= deadline {
                bail!("the application did not come to rest within {PATIENCE:?}: {why}");
            }
            // It may hang on a dead connection for minutes; the next case is to show its own fault.
            if why.starts_with(Caller::Tonic.name()) && !tonic_restarted {
                tonic_restarted = true;
                self.run(&["rollout", "restart", "deployment/caller-tonic"])?;
                self.rolled_out("caller-tonic")?;
            }
            interrupt::pause(AGAIN)?;
        }
    }

    /// Why it is not at rest. What takes longest is asked for first, the clients last: they may have been hit by what came before.
    fn unsettled(&self) -> Result<Option<String>> {
        let servers = self.servers()?;
        if let Some(why) = incomplete(&servers) {
            return Ok(Some(why));
        }
        let addresses: BTreeSet<_> = servers.iter().map(|pod| pod.address.clone()).collect();
        for (who, has) in [("the slices", self.sliced()?), ("DNS", self.named()?)] {
            if has != addresses {
                return Ok(Some(format!("{who} name {has:?}, and there are {addresses:?}")));
            }
        }
        for caller in Caller::ALL {
            let newest = self.newest(caller, CLEAN + 1)?;
            let clean = newest.iter().rev().take_while(|second| second.is_clean()).count();
            if clean < CLEAN {
                return Ok(Some(format!(
                    "{} had {clean} clean seconds: {:?}",
                    caller.name(),
                    newest.last()
                )));
            }
        }
        Ok(None)
    }
}

/// What is wrong with the servers.
fn incomplete(servers: &[Pod]) -> Option<String> {
    let ready = servers.iter().filter(|pod| pod.ready && !pod.ending).count();
    let all = servers.len();
    (ready != SERVERS || all != SERVERS).then(|| format!("{ready} of {all} servers are ready, and {SERVERS} are to be"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_ends_is_one_too_many() {
        let pod = |ending| Pod {
            name: String::new(),
            uid: String::new(),
            node: String::new(),
            address: String::new(),
            ready: true,
            ending,
        };
        let mut servers = vec![pod(false); SERVERS];
        assert_eq!(incomplete(&servers), None);
        servers.push(pod(true));
        assert_eq!(
            incomplete(&servers).as_deref(),
            Some("5 of 6 servers are ready, and 5 are to be")
        );
        assert!(incomplete(&servers[..4]).is_some());
    }
}
