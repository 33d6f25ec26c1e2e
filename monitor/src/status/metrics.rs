//! Figures for Prometheus, in the OpenMetrics text format. Read when they are asked for.

use std::fmt;

use obit_ebpf::Loss;
use obit_protocol::Verdict;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::{Parts, Status};
use crate::sighting::Observation;
use crate::subscribers::Roll;

/// Of the text.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The figures as text.
pub(super) fn text(status: &Status) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("obit");
    let build = Info::new([
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        (
            "kernel",
            rustix::system::uname().release().to_string_lossy().into_owned(),
        ),
    ]);
    registry.register("build", "Which obit this is, and on which kernel", build);
    registry.register_collector(Box::new(Figures {
        ready: status.ready().is_ok(),
        parts: status.parts(),
    }));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Figures {
    ready: bool,
    parts: Option<Parts>,
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let to = &mut encoder;
        gauge(
            to,
            "ready",
            "Whether subscribers are told what the kernel sees",
            self.ready.into(),
        )?;
        let Some(Parts {
            hub,
            losses,
            board,
            roll,
        }) = &self.parts
        else {
            return Ok(());
        };
        let tally = hub.tally();
        gauge(
            to,
            "blind",
            "Whether sightings are being lost, or none arrive at all",
            tally.blind.into(),
        )?;
        subscribers(to, roll)?;
        if let Some(denied) = roll.denied() {
            let about = "Questions of subscribers about services that the policy does not allow";
            counter(to, "services_denied", about, denied)?;
        }
        if let Some(pods) = roll.pods() {
            gauge(to, "kubernetes_pods", "Pods of this node that are known", pods as u64)?;
        }
        gauge(to, "watched_peers", "Peers that anybody asks about", tally.peers as u64)?;
        let sightings = Observation::KINDS.into_iter().zip(tally.sightings);
        counters(to, "sightings", "What was seen of watched peers", "signal", sightings)?;
        let verdicts = (0..)
            .zip(tally.verdicts)
            .map(|(number, count)| (verdict(number), count));
        counters(
            to,
            "notices",
            "Verdicts about peers that were told",
            "verdict",
            verdicts,
        )?;
        let lost = Loss::ALL.into_iter().map(reason).zip(losses.by_reason());
        counters(
            to,
            "sightings_lost",
            "What was seen and could not be delivered",
            "reason",
            lost,
        )?;
        let left_out = "Runs of its programs that the kernel left out, anywhere on the node";
        counter(to, "programs_left_out", left_out, losses.left_out())?;
        let Some(board) = board else {
            return Ok(());
        };
        let view = board.view();
        gauge(
            to,
            "kubernetes_up",
            "Whether the Kubernetes API is heard",
            view.up.into(),
        )?;
        gauge(to, "kubernetes_slices", "EndpointSlices known", view.slices as u64)?;
        gauge(to, "kubernetes_addresses", "Addresses in them", view.addresses as u64)?;
        gauge(
            to,
            "services_watched",
            "Questions of subscribers about services",
            view.questions as u64,
        )
    }
}

fn subscribers(to: &mut DescriptorEncoder<'_>, roll: &Roll) -> fmt::Result {
    let about = "Processes that are told verdicts, by the namespace of their pod; none where that is not known";
    let mut family = to.encode_descriptor("subscribers", about, None, ConstGauge::new(0_i64).metric_type())?;
    for (namespace, count) in roll.by_namespace() {
        let count = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
        count.encode(family.encode_family(&[("namespace", &*namespace)])?)?;
    }
    Ok(())
}

fn reason(loss: Loss) -> &'static str {
    match loss {
        Loss::RingFull => "ring-full",
        Loss::TableFull => "table-full",
        Loss::Unreadable => "unreadable",
    }
}

fn verdict(number: i32) -> &'static str {
    match Verdict::try_from(number) {
        Ok(Verdict::Alive) => "alive",
        Ok(Verdict::Suspect) => "suspect",
        Ok(Verdict::Dead) => "dead",
        Ok(Verdict::Draining) => "draining",
        Ok(Verdict::Unknown) | Err(_) => "unknown",
    }
}

fn gauge(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    let metric: MetricEncoder<'_> = to.encode_descriptor(name, help, None, gauge.metric_type())?;
    gauge.encode(metric)
}

fn counter(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let counter = ConstCounter::new(value);
    counter.encode(to.encode_descriptor(name, help, None, counter.metric_type())?)
}

fn counters(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    values: impl IntoIterator<Item = (&'static str, u64)>,
) -> fmt::Result {
    let mut family = to.encode_descriptor(name, help, None, ConstCounter::new(0_u64).metric_type())?;
    for (what, value) in values {
        ConstCounter::new(value).encode(family.encode_family(&[(label, what)])?)?;
    }
    Ok(())
}
