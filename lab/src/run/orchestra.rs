//! Puts a run together and takes it apart again: topology, pods, DNS, monitor, client, script, verification.

use std::net::SocketAddr;
use std::time::Duration;

use super::cast::Cast;
use super::progress;
use super::script::perform;
use super::{Absence, ClientFault, Evidence, Performed, Run, Settings, absences, recoveries, verify};
use crate::child::{LabProcess, beside_this_binary};
use crate::client::{Client, Peer, Program};
use crate::contract::{Environment, Reading, Said};
use crate::dns;
use crate::pod::{PORT, Tally, received};
use crate::record::Course;
use crate::report::{Figures, Quantiles};
use crate::scenario::{PODS, Scenario, Step, Target, timeline};
use crate::sidecar::Sidecar;
use crate::workload::{Call, ClientKind, Outcome};

/// A pod that is back may still be called dead for so long: what was seen before is on its way.
const VERDICT_NS: u64 = 50_000_000;

/// How long after its bound a client may take to tell of its calls.
const GRACE: Duration = Duration::from_secs(20);

/// How long a client may take to open its connections.
const READY: Duration = Duration::from_secs(30);

/// How long a client may take to start when it is told to.
const START: Duration = Duration::from_secs(5);

/// Everything of a run that has to go again. In the order it goes: processes before their namespaces.
struct Stage {
    client: LabProcess,
    sidecar: Option<Sidecar>,
    said: Reading,
    cast: Cast,
}

/// Runs `scenario` with `client`.
///
/// # Errors
/// When the lab cannot be built, or the run is not what it claims (a [`super::Refusal`]).
///
/// # Cancel safety
/// Dropping the future kills its processes and deletes its namespaces.
pub async fn run(scenario: &Scenario, client: &Client, settings: &Settings) -> anyhow::Result<Run> {
    let victim = fastrand::Rng::with_seed(settings.seed).usize(..PODS);
    let steps = timeline(scenario, victim);
    let mut stage = Stage::set(scenario, victim, client, settings).await?;
    let name = format!("{} {}", client.name(), scenario.name);
    let performed = stage.play(&name, &steps, settings).await?;
    stage.report(scenario, client, &steps, performed, settings)
}

/// Hears the client until it has come as far as `far` says.
async fn hear(client: &mut LabProcess, said: &mut Reading, far: fn(&Reading) -> bool) -> anyhow::Result<()> {
    while !far(said) {
        if let Some(why) = said.unable() {
            return Err(ClientFault::Unable(why.to_owned()).into());
        }
        let line = client.next_line().await;
        match line.map_err(|error| ClientFault::Unreadable(error.to_string()))? {
            Some(line) => said.line(&line).map_err(ClientFault::from)?,
            None => return Err(ClientFault::Ended(client.ended().await?).into()),
        }
    }
    Ok(())
}

impl Stage {
    async fn set(scenario: &Scenario, victim: usize, client: &Client, settings: &Settings) -> anyhow::Result<Self> {
        let cast = Cast::set(scenario, victim, client.needs_monitor(), settings).await?;
        let host = &cast.topology.client;
        let told = environment(scenario, settings, &cast);
        let mut sidecar = match client.program() {
            Program::Sidecar(setup) => Some(Sidecar::start(*setup, host, &told, cast.directory())?),
            _ => None,
        };
        let variables = told.variables();
        let mut client = match client.program() {
            Program::BuiltIn(kind) => LabProcess::start_told(host, "client", &[kind.name().to_owned()], variables)?,
            Program::Sidecar(_) => {
                let kind = ClientKind::Proxied.name().to_owned();
                LabProcess::start_told(host, "client", &[kind], variables)?
            }
            Program::Peer(peer) => {
                let path = beside_this_binary(peer.program)?;
                if !path.exists() {
                    let Peer { program, remedy } = *peer;
                    return Err(ClientFault::Absent { program, remedy }.into());
                }
                let line = [path.as_os_str(), client.name().as_ref()];
                LabProcess::start_foreign(host, &line, variables)?
            }
            Program::Command { line, .. } => {
                let script = format!("exec {line}");
                let line = ["sh", "-c", &script].map(AsRef::as_ref);
                LabProcess::start_foreign(host, &line, variables)?
            }
        };
        let asked = settings.concurrency * settings.requests;
        let mut said = Reading::new(asked, cast.names());
        let limit = settings.bound.min(READY);
        tokio::select! {
            // Without its proxy a client ends as well: the proxy is to blame.
            biased;
            gone = Sidecar::gone(sidecar.as_mut()) => match gone? {},
            ready = hear(&mut client, &mut said, Reading::is_ready) => ready?,
            () = tokio::time::sleep(limit) => return Err(ClientFault::NotReady(limit).into()),
        }
        Ok(Self {
            client,
            sidecar,
            said,
            cast,
        })
    }

    /// Lets the scenario happen until the client is done; what was done.
    async fn play(&mut self, name: &str, steps: &[Step], settings: &Settings) -> anyhow::Result<Vec<Performed>> {
        if self.client.tell("go").await.is_err() {
            return Err(ClientFault::Ended(self.client.ended().await?).into());
        }
        let started = hear(&mut self.client, &mut self.said, |said| said.started_ns().is_some());
        let started = tokio::time::timeout(START, started).await;
        started.unwrap_or_else(|_| Err(ClientFault::NotStarted(START).into()))?;
        let start_ns = self.said.started_ns().unwrap_or_default();
        let mut performed = Vec::new();
        let journals = self.cast.journal_paths();
        let done = async {
            hear(&mut self.client, &mut self.said, Reading::is_over).await?;
            match self.client.ended().await? {
                status if status.success() => Ok(()),
                status => Err(ClientFault::Failed(status).into()),
            }
        };
        let limit = settings.bound + settings.bound.min(GRACE);
        tokio::select! {
            gone = Sidecar::gone(self.sidecar.as_mut()) => match gone? {},
            done = done => done.map(|()| performed),
            never = progress::tell(name, &journals) => match never {},
            failed = perform(steps, &mut self.cast, start_ns, &mut performed) => match failed? {},
            () = tokio::time::sleep(limit) => Err(ClientFault::Overdue(limit).into()),
        }
    }

    /// Reads what everyone left, checks it, and derives the figures.
    fn report(
        mut self,
        scenario: &Scenario,
        client: &Client,
        steps: &[Step],
        performed: Vec<Performed>,
        settings: &Settings,
    ) -> anyhow::Result<Run> {
        let died = self.cast.died()?;
        let Said {
            start_ns,
            calls,
            classes,
            observations,
            stopped,
        } = self.said.into_said();
        let journals = self.cast.journals()?;
        let names = self.cast.names();
        let asked = settings.concurrency * settings.requests;
        verify(&Evidence {
            scenario,
            steps,
            pods: names.len(),
            asked,
            start_ns,
            calls: &calls,
            classes: &classes,
            stopped,
            performed: &performed,
            monitor: client.needs_monitor(),
            died: &died,
        })?;
        let death = performed.iter().find(|it| it.event.is_death());
        let death = death.and_then(|death| match death.event.on {
            Target::Pod(pod) => Some((pod, death.from_ns)),
            _ => None,
        });
        let evicted_ns = death.and_then(|(pod, at_ns)| observations.evicted_ns(self.cast.address(pod), at_ns));
        let tells = !observations.transitions.is_empty();
        let addresses: Vec<_> = (0..names.len()).map(|pod| self.cast.address(pod)).collect();
        let wrongly_evicted = tells.then(|| {
            let dead = observations.taken_for_dead();
            let wrong = dead.filter(|(peer, at_ns)| were_there(&performed, &addresses, *peer, *at_ns));
            wrong.count() as u64
        });
        Ok(Run {
            course: Course::of(&calls, start_ns, &performed, names.len()),
            scenario: scenario.name.clone(),
            client: client.name().to_owned(),
            asked,
            figures: Figures::of(&calls, start_ns, &names, &classes),
            victim: death.map(|(pod, _)| names[pod].clone()),
            in_flight_on_victim: death.and_then(|(pod, _)| unanswered(&journals[pod], &calls, &performed, pod)),
            death_ns: death.map(|(_, at_ns)| at_ns.saturating_sub(start_ns)),
            evicted_after_ns: death
                .zip(evicted_ns)
                .map(|((_, died_ns), evicted_ns)| evicted_ns.saturating_sub(died_ns)),
            wrongly_evicted,
            recoveries: recoveries(&performed, &calls, names.len(), start_ns),
            event_to_client: Quantiles::of(observations.lateness_ns(start_ns)),
            tally: Tally::of(&journals),
            stopped,
        })
    }
}

/// Whether a pod with this address was there at that moment, and had been for longer than a verdict takes.
fn were_there(performed: &[Performed], addresses: &[SocketAddr], peer: SocketAddr, at_ns: u64) -> bool {
    let pods = (0..addresses.len()).filter(|pod| addresses[*pod] == peer);
    pods.into_iter().any(|pod| {
        let absences = absences(performed, pod, pod < PODS);
        let away = |it: &Absence| it.from_ns <= at_ns && at_ns.saturating_sub(VERDICT_NS) < it.until_ns;
        !absences.iter().any(away)
    })
}

/// Calls that a pod received and never answered: in flight when it died, of one that did not come back.
fn unanswered(journal: &[u8], calls: &[Call], performed: &[Performed], pod: usize) -> Option<u64> {
    let absences = absences(performed, pod, pod < PODS);
    let once = matches!(absences.as_slice(), [only] if only.until_ns == u64::MAX);
    let answered = Outcome::Answered(u8::try_from(pod).unwrap_or(u8::MAX));
    let answered = calls.iter().filter(|call| call.outcome == answered).count() as u64;
    once.then(|| received(journal).saturating_sub(answered))
}

/// What the client is told.
fn environment(scenario: &Scenario, settings: &Settings, cast: &Cast) -> Environment {
    Environment {
        target: format!("{}:{PORT}", dns::NAME.trim_end_matches('.')),
        name_server: cast.name_server(),
        kubernetes: cast.kubernetes(),
        pods: (0..PODS).map(|pod| cast.address(pod)).collect(),
        concurrency: settings.concurrency,
        requests: settings.requests,
        calls: scenario.calls,
        seconds: settings.bound.as_secs(),
        idempotent: settings.idempotent,
        monitor: cast.socket(),
    }
}
