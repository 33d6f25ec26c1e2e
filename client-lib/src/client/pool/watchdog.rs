//! The silence watchdog of one connection: while calls are in flight, the socket is asked whether the peer's kernel still
//! answers. This bounds what the kernel alone does not: a peer that vanished without a word.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use super::confirm::{Answer, Confirm};
use super::inquiry::Inquiry;
use super::lane::Lane;
use super::own_side::OWN_SIDE_LASTS;
use crate::clock;
use crate::connection::{CADENCE, Silence, SilenceRule, SocketProbe};
use crate::{PeerDead, Reason};

/// How often a connection with calls in flight is looked at while it is being heard: 0.3 µs and a timer each.
const STROLL: Duration = Duration::from_millis(20);

/// Silence from which on the looks come at the rule's [`CADENCE`].
const ALERT: Duration = Duration::from_millis(15);

/// Strolls without a call in flight after which the watchdog sleeps until it is woken by one.
const PATIENCE: u32 = 25;

/// A connection as silent as this whose peer answers a dial is not waited for: the kernel's next retransmission is due only after
/// as long again.
const STRANDED_AFTER: Duration = Duration::from_millis(500);

/// A connection with calls in flight on which nothing comes for so long after this side's outage waits for its peer to send again what
/// was lost: nothing this side can see, and due only after as long again as the outage lasted.
const AFTERMATH: Duration = Duration::from_millis(100);

/// What a silence came to.
#[derive(Debug)]
pub(super) enum Lost {
    /// The peer is dead.
    Peer(PeerDead),
    /// The peer lives, and this connection to it is as good as lost: its path was gone for a while, or forgot it.
    Connection,
}

/// Completes when the peer of `lane` is dead by its silence: nothing acknowledged for the rule's threshold *and* a fresh
/// dial not answered; or when the connection alone is lost. Suspicion never completes it; the lane is told at each look. The lane
/// is not killed yet. While nobody at all is heard, nobody is dead: see [`settle`](super::settle).
///
/// # Cancel safety
///
/// Cancel safe: begins anew when called again.
pub(super) async fn silence(lane: &Lane, confirm: &Confirm) -> Lost {
    let probe = lane.connection().probe();
    let mut idle = 0;
    let mut inquiry = Inquiry::default();
    let mut outages = confirm.outages();
    // The end of an outage, and what had been heard by then.
    let mut since: Option<(Instant, Option<u32>)> = None;
    loop {
        if lane.in_flight() > 0 {
            idle = 0;
        } else {
            idle += 1;
            if idle > PATIENCE {
                lane.busy().await;
            }
        }
        tokio::time::sleep(STROLL).await;
        if confirm.outages() != outages {
            outages = confirm.outages();
            since = Some((clock::now(), lane.segments_heard()));
        }
        if let Some((ended, heard)) = since {
            if lane.segments_heard() > heard {
                since = None;
            } else if clock::now().saturating_duration_since(ended) >= AFTERMATH {
                since = None;
                if lane.in_flight() > 0 {
                    return Lost::Connection;
                }
            }
        }
        let Some(sample) = probe.sample() else {
            continue;
        };
        if let Some(usual) = confirm.keep_alive()
            && let Some(pause) = inquiry.look(&sample, lane.in_flight() > 0, usual)
        {
            probe.keep_alive_after(pause);
        }
        if sample.silence().is_some_and(|silence| silence >= ALERT)
            && let Some(lost) = followed(lane, &probe, confirm).await
        {
            return lost;
        }
    }
}

/// Follows one silence to its end: `None` when the peer was heard, otherwise what rule and dial agree on.
async fn followed(lane: &Lane, probe: &SocketProbe, confirm: &Confirm) -> Option<Lost> {
    let mut rule = SilenceRule::default();
    let mut dial: Option<Pin<Box<dyn Future<Output = Answer> + Send + '_>>> = None;
    let mut answer = None;
    let mut next: Instant = clock::now();
    loop {
        let sample = probe.sample()?;
        let silence = sample.silence().filter(|silence| *silence >= ALERT)?;
        let said = rule.observe(&sample);
        if said >= Silence::Dial && answer.is_none() && dial.is_none() {
            dial = Some(Box::pin(confirm.ask(clock::now())));
        }
        match (said, answer) {
            (_, Some(Answer::Alive)) if silence >= STRANDED_AFTER => return Some(Lost::Connection),
            (_, Some(Answer::Alive)) => {
                // The peer's kernel answers others. One lost segment is not a death: begin anew after a while.
                tokio::time::sleep(silence).await;
                return None;
            }
            (Silence::Suspect, Some(Answer::Gone(cause))) => {
                if silence >= OWN_SIDE_LASTS || !Box::pin(confirm.is_own_side(cause)).await {
                    return Some(Lost::Peer(PeerDead {
                        peer: lane.peer(),
                        reason: Reason::Silence,
                        at: clock::now(),
                    }));
                }
                // To be asked again: whoever answers first tells that this side is well.
                answer = None;
            }
            (Silence::Suspect, None) => lane.doubt(),
            (Silence::Dial | Silence::Quiet, _) => {}
        }
        next += CADENCE;
        match &mut dial {
            Some(asking) if answer.is_none() => {
                if let Ok(answered) = tokio::time::timeout_at(next, asking).await {
                    answer = Some(answered);
                    dial = None;
                }
            }
            _ => tokio::time::sleep_until(next).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use socket2::{SockFilter, SockRef};
    use tokio::io::AsyncReadExt as _;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::Feed;
    use crate::client::Client;
    use crate::client::pool::driver;
    use crate::client::pool::gauge::Gauge;
    use crate::client::pool::lane::Sender;
    use crate::client::pool::queue::Queue;
    use crate::client::pool::slot::Slot;
    use crate::connection::{DialOptions, SocketSample, dial};

    /// A lane that carries one call, acknowledged and not answered, to a peer whose ends are given back.
    async fn waiting(options: &DialOptions) -> (TcpListener, TcpStream, Arc<Lane>, Slot, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = listener.local_addr().unwrap();
        let io = dial(&Feed::offline(), peer, options).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let queue = Arc::new(Queue::new(1, Duration::ZERO));
        let (handle, gauge) = (io.handle(), Arc::new(Gauge::new(queue, None)));
        let (sender, driver) = driver::http2(io, gauge.clone(), handle.kill_switch().clone())
            .await
            .unwrap();
        let driver = tokio::spawn(async move { _ = driver.await });
        gauge.limit(1);
        let lane = Arc::new(Lane::new(peer, Sender::Http2(sender), gauge, handle, None));
        let call = Slot::of(&lane).unwrap();
        // After the greeting.
        let probe = lane.connection().probe();
        let owes = |sample: SocketSample| sample.unacked > 0 || sample.last_heard() < Duration::from_millis(300);
        while owes(probe.sample().unwrap()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        (listener, accepted, lane, call, driver)
    }

    fn confirm(peer: SocketAddr) -> Confirm {
        let client = Client::builder("http://pods.test")
            .feed(Feed::offline())
            .endpoints([peer]);
        Confirm::new(client.build().unwrap().pool.clone(), peer)
    }

    /// BPF_RET | BPF_K with 0: the kernel throws away whatever comes, and so acknowledges nothing; a listener's answers no SYN.
    const DEAF: [SockFilter; 1] = [SockFilter::new(0x06, 0, 0, 0)];

    /// Keep-alive by itself would end nothing while a test waits.
    fn patient() -> DialOptions {
        DialOptions {
            keep_alive: Some(Duration::from_secs(600)),
            ..DialOptions::default()
        }
    }

    #[tokio::test]
    async fn a_peer_that_vanishes_after_it_acknowledged_a_request_is_missed() {
        let (listener, accepted, lane, _call, driver) = waiting(&patient()).await;
        SockRef::from(&accepted).attach_filter(&DEAF).unwrap();
        SockRef::from(&listener).attach_filter(&DEAF).unwrap();
        let confirm = confirm(lane.peer());
        let lost = tokio::time::timeout(Duration::from_secs(60), silence(&lane, &confirm)).await;
        let Ok(Lost::Peer(death)) = lost else {
            panic!("{lost:?}")
        };
        assert_eq!(death.reason, Reason::Silence);
        driver.abort();
    }

    #[tokio::test]
    async fn who_takes_its_time_is_asked_and_believed_though_nobody_accepts_dials() {
        let (listener, accepted, lane, _call, driver) = waiting(&patient()).await;
        SockRef::from(&listener).attach_filter(&DEAF).unwrap();
        let confirm = confirm(lane.peer());
        let heard = lane.segments_heard();
        let answered = async {
            while lane.segments_heard() <= heard {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            // What comes of it.
            tokio::time::sleep(10 * ALERT).await;
        };
        tokio::select! {
            lost = silence(&lane, &confirm) => panic!("{lost:?}"),
            answered = tokio::time::timeout(Duration::from_secs(60), answered) => answered.unwrap(),
        }
        driver.abort();
        drop(accepted);
    }

    #[tokio::test]
    async fn who_waits_for_an_answer_is_told_of_a_silence_before_a_dial_has_settled_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = listener.local_addr().unwrap();
        let io = dial(&Feed::offline(), peer, &DialOptions::default()).await.unwrap();
        let (mut accepted, _) = listener.accept().await.unwrap();
        let queue = Arc::new(Queue::new(1, Duration::ZERO));
        let (handle, gauge) = (io.handle(), Arc::new(Gauge::new(queue, None)));
        SockRef::from(&accepted).attach_filter(&DEAF).unwrap();
        let (sender, driver) = driver::http2(io, gauge.clone(), handle.kill_switch().clone())
            .await
            .unwrap();
        let driver = tokio::spawn(driver);
        gauge.limit(1);
        let lane = Arc::new(Lane::new(peer, Sender::Http2(sender), gauge, handle, None));
        let _call = Slot::of(&lane).unwrap();

        let client = Client::builder("http://pods.test")
            .feed(Feed::offline())
            .endpoints([peer]);
        let client = client.build().unwrap();
        let confirm = Confirm::new(client.pool.clone(), peer);
        let _dial = confirm.delayed().await;
        let doubted = lane.doubted();
        tokio::select! {
            () = doubted => {}
            _ = silence(&lane, &confirm) => panic!("dead without a dial's answer"),
            () = tokio::time::sleep(Duration::from_secs(30)) => panic!("nobody was told"),
        }
        driver.abort();
        // It never heard anything.
        assert!(tokio::time::timeout(Duration::ZERO, accepted.read_u8()).await.is_err());
    }
}
