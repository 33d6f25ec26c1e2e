//! What a client is told: environment variables.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::scenario::Calls;

const TARGET: &str = "OBIT_LAB_TARGET";
const NAME_SERVER: &str = "OBIT_LAB_NAME_SERVER";
const PODS: &str = "OBIT_LAB_PODS";
const CONCURRENCY: &str = "OBIT_LAB_CONCURRENCY";
const REQUESTS: &str = "OBIT_LAB_REQUESTS";
const SECONDS: &str = "OBIT_LAB_SECONDS";
const IDEMPOTENT: &str = "OBIT_LAB_IDEMPOTENT";
const KUBERNETES: &str = "OBIT_LAB_KUBERNETES";
const CALLS: &str = "OBIT_LAB_CALLS";
const MONITOR: &str = "OBIT_LAB_MONITOR";

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// The pods' headless name and their port: `OBIT_LAB_TARGET`, "name:port".
    pub target: String,
    /// A DNS server that knows the name: `OBIT_LAB_NAME_SERVER`.
    pub name_server: SocketAddr,
    /// A Kubernetes API over plain HTTP that has the pods' EndpointSlices: `OBIT_LAB_KUBERNETES`, "http://address:port".
    pub kubernetes: String,
    /// The pods at the start, in the order of their numbers: `OBIT_LAB_PODS`, separated by commas.
    pub pods: Vec<SocketAddr>,
    /// Callers: `OBIT_LAB_CONCURRENCY`.
    pub concurrency: u64,
    /// Calls each caller makes, one after the other: `OBIT_LAB_REQUESTS`.
    pub requests: u64,
    /// What a call is: `OBIT_LAB_CALLS`, "unary", "client-stream", "server-stream" or "bidi"; unary where it is not set.
    pub calls: Calls,
    /// When the client stops by itself, seconds after its start: `OBIT_LAB_SECONDS`.
    pub seconds: u64,
    /// Whether a call may be sent again that may have been processed: `OBIT_LAB_IDEMPOTENT`, "true" or "false".
    pub idempotent: bool,
    /// The socket of obit's monitor, where one runs: `OBIT_LAB_MONITOR`.
    pub monitor: Option<PathBuf>,
}

/// Why the environment is not the lab's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {fault}: a client is started by the lab, see docs/lab.md")]
pub struct EnvironmentError {
    variable: &'static str,
    fault: String,
}

impl Environment {
    /// The variables, each with its value.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let pods: Vec<_> = self.pods.iter().map(ToString::to_string).collect();
        let mut variables = vec![
            (TARGET, self.target.clone()),
            (NAME_SERVER, self.name_server.to_string()),
            (KUBERNETES, self.kubernetes.clone()),
            (PODS, pods.join(",")),
            (CONCURRENCY, self.concurrency.to_string()),
            (REQUESTS, self.requests.to_string()),
            (CALLS, self.calls.name().to_owned()),
            (SECONDS, self.seconds.to_string()),
            (IDEMPOTENT, self.idempotent.to_string()),
        ];
        let monitor = self.monitor.as_ref().map(|socket| socket.display().to_string());
        variables.extend(monitor.map(|socket| (MONITOR, socket)));
        variables
    }

    /// What `variable` tells of each name.
    ///
    /// # Errors
    /// Names the variable that is missing or says something else.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let given = |name: &'static str| {
            variable(name).ok_or_else(|| EnvironmentError {
                variable: name,
                fault: "is not set".into(),
            })
        };
        let pods = given(PODS)?;
        let pods = pods.split(',').map(|pod| parsed(PODS, pod));
        Ok(Self {
            target: given(TARGET)?,
            name_server: parsed(NAME_SERVER, &given(NAME_SERVER)?)?,
            kubernetes: given(KUBERNETES)?,
            pods: pods.collect::<Result<_, _>>()?,
            concurrency: parsed(CONCURRENCY, &given(CONCURRENCY)?)?,
            requests: parsed(REQUESTS, &given(REQUESTS)?)?,
            calls: variable(CALLS).map_or(Ok(Calls::default()), |calls| parsed(CALLS, &calls))?,
            seconds: parsed(SECONDS, &given(SECONDS)?)?,
            idempotent: parsed(IDEMPOTENT, &given(IDEMPOTENT)?)?,
            monitor: variable(MONITOR).map(PathBuf::from),
        })
    }
}

fn parsed<T: FromStr<Err: Display>>(variable: &'static str, value: &str) -> Result<T, EnvironmentError> {
    value.parse().map_err(|error| EnvironmentError {
        variable,
        fault: format!("is {value:?} ({error})"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Environment {
        Environment {
            target: "demo.lab.obit.test:8080".into(),
            name_server: "198.18.0.53:53".parse().unwrap(),
            kubernetes: "http://198.18.0.53:8001".into(),
            pods: ["198.18.1.1:8080", "198.18.1.2:8080"]
                .map(|pod| pod.parse().unwrap())
                .into(),
            concurrency: 500,
            requests: 300,
            calls: Calls::Bidi,
            seconds: 60,
            idempotent: true,
            monitor: Some("/dev/shm/x/monitor.sock".into()),
        }
    }

    #[test]
    fn what_is_told_is_read_again() {
        for environment in [
            sample(),
            Environment {
                monitor: None,
                ..sample()
            },
        ] {
            let variables = environment.variables();
            let value = |name: &str| {
                variables
                    .iter()
                    .find(|(it, _)| *it == name)
                    .map(|(_, value)| value.clone())
            };
            assert_eq!(Environment::read(value), Ok(environment));
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let fault = Environment::read(|_| None).unwrap_err().to_string();
        assert!(fault.starts_with("OBIT_LAB_PODS is not set"), "{fault}");
        let variables = sample().variables();
        let value = |name: &str| match name {
            CONCURRENCY => Some("many".into()),
            _ => variables
                .iter()
                .find(|(it, _)| *it == name)
                .map(|(_, value)| value.clone()),
        };
        let fault = Environment::read(value).unwrap_err().to_string();
        assert!(fault.starts_with("OBIT_LAB_CONCURRENCY is \"many\""), "{fault}");
    }

    #[test]
    fn calls_are_unary_unless_said_otherwise() {
        let variables = sample().variables();
        let with = |calls: Option<&str>| {
            let value = |name: &str| match name {
                CALLS => calls.map(str::to_owned),
                _ => variables
                    .iter()
                    .find(|(it, _)| *it == name)
                    .map(|(_, value)| value.clone()),
            };
            Environment::read(value)
        };
        assert_eq!(with(None).map(|told| told.calls), Ok(Calls::Unary));
        let fault = with(Some("duplex")).unwrap_err().to_string();
        assert!(
            fault.starts_with("OBIT_LAB_CALLS is \"duplex\" (calls are unary, client-stream,"),
            "{fault}"
        );
    }
}
