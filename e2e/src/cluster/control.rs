//! The control plane: etcd, the API server, the controller manager and the scheduler, in the fabric's namespace.

use std::cell::RefCell;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::address::{API_PORT, CONTROL, SERVICES};
use super::process::{Plan, Process};
use super::{Ground, kubeconfig};

/// The running control plane. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Control {
    others: RefCell<Vec<Process>>,
    api: RefCell<Option<Process>>,
    etcd: RefCell<Process>,
}

impl Control {
    /// Starts etcd and the API server.
    pub(super) fn new(ground: &Ground) -> Result<Self> {
        Ok(Self {
            etcd: RefCell::new(etcd(ground)?),
            api: RefCell::new(Some(api(ground)?)),
            others: RefCell::default(),
        })
    }

    /// Starts what wants the API: the controller manager and the scheduler.
    pub(super) fn follow(&self, ground: &Ground) -> Result<()> {
        let started = [controller_manager(ground)?, scheduler(ground)?];
        self.others.borrow_mut().extend(started);
        Ok(())
    }

    /// Ends the API server, as a crash would.
    pub(super) fn stop_api(&self) {
        self.api.replace(None);
    }

    /// Starts the API server again.
    pub(super) fn start_api(&self, ground: &Ground) -> Result<()> {
        self.stop_api();
        self.api.replace(Some(api(ground)?));
        Ok(())
    }

    /// Fails when one of its processes has ended that was not stopped.
    pub(super) fn runs(&self) -> Result<()> {
        self.etcd.borrow_mut().runs()?;
        if let Some(api) = self.api.borrow_mut().as_mut() {
            api.runs()?;
        }
        self.others.borrow_mut().iter_mut().try_for_each(Process::runs)
    }
}

fn plan(ground: &Ground, name: &str, program: &Path) -> Plan {
    Plan::inside(&ground.fabric.namespace("fabric"), name, program)
}

fn etcd(ground: &Ground) -> Result<Process> {
    // What it keeps is gone with the cluster: it need not reach the disk.
    plan(ground, "etcd", &ground.parts.debian("etcd"))
        .args([
            "--name=e2e",
            "--unsafe-no-fsync",
            "--initial-cluster=e2e=http://127.0.0.1:2380",
        ])
        .args([
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
        ])
        .args([
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--initial-advertise-peer-urls=http://127.0.0.1:2380",
        ])
        .option("--data-dir", &ground.folder.join("etcd"))
        .start(&ground.logs)
}

fn api(ground: &Ground) -> Result<Process> {
    let pki = &ground.pki;
    plan(ground, "kube-apiserver", &ground.parts.bin("kube-apiserver"))
        .args(["--etcd-servers=http://127.0.0.1:2379", "--bind-address=0.0.0.0"])
        .arg(format!("--advertise-address={CONTROL}"))
        .arg(format!("--secure-port={API_PORT}"))
        .arg(format!("--service-cluster-ip-range={SERVICES}"))
        .args([
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
        ])
        .args([
            "--allow-privileged=true",
            "--kubelet-preferred-address-types=InternalIP",
        ])
        .arg("--service-account-issuer=https://kubernetes.default.svc.cluster.local")
        .option("--service-account-key-file", &pki.file("accounts.pub"))
        .option("--service-account-signing-key-file", &pki.file("accounts.key"))
        .option("--tls-cert-file", &pki.certificate("apiserver"))
        .option("--tls-private-key-file", &pki.key("apiserver"))
        .option("--client-ca-file", &pki.authority())
        .option("--kubelet-client-certificate", &pki.certificate("kubelet-client"))
        .option("--kubelet-client-key", &pki.key("kubelet-client"))
        .option("--kubelet-certificate-authority", &pki.authority())
        .option("--cert-dir", &ground.folder.join("apiserver"))
        .start(&ground.logs)
}

/// A node that says nothing for ten seconds is no longer ready: soon enough for a test to wait for it.
fn controller_manager(ground: &Ground) -> Result<Process> {
    let plan = of_the_api(ground, "kube-controller-manager", "controller-manager")?;
    plan.option("--service-account-private-key-file", &ground.pki.file("accounts.key"))
        .option("--root-ca-file", &ground.pki.authority())
        .args(["--use-service-account-credentials=true", "--allocate-node-cidrs=false"])
        .args(["--node-monitor-period=1s", "--node-monitor-grace-period=10s"])
        .start(&ground.logs)
}

fn scheduler(ground: &Ground) -> Result<Process> {
    of_the_api(ground, "kube-scheduler", "scheduler")?.start(&ground.logs)
}

fn of_the_api(ground: &Ground, program: &str, subject: &str) -> Result<Plan> {
    let file = kubeconfig::write(&ground.pki, subject).context("a kubeconfig")?;
    let plan = plan(ground, program, &ground.parts.bin(program))
        .args(["--leader-elect=false", "--bind-address=127.0.0.1"])
        .option("--kubeconfig", &file)
        .option("--authentication-kubeconfig", &file)
        .option("--authorization-kubeconfig", &file)
        .option("--cert-dir", &ground.folder.join(subject));
    Ok(plan)
}
