//! The guide: why there is obit, how a client of it works, what to choose and to tune, and what it cannot know.
//!
//! # Why
//!
//! A connection pool learns that a peer is dead from its own failures, one connection at a time. A killed process is told by
//! resets and refused dials, at the price of the calls that met them. A pod that vanished with its network says nothing:
//! dials wait for their timeout, calls in flight for ever, and DNS names the address for as long as its TTL allows. The
//! kernel knows sooner: it sees the first refusal, the SYN that nobody answers, the segment sent again. obit's monitor tells
//! every process on the node what the kernel saw; this library acts on it, and looks at its own sockets where there is no
//! monitor.
//!
//! # How a call travels
//!
//! ```text
//! request ─▶ policy picks among the endpoints in rotation ─▶ a free stream ─▶ answer
//!                │ none is free                                   │ failed
//!                ▼                                                ▼
//!             queue (bounded, with a deadline)          ladder: may it be sent again? ─▶ elsewhere
//! ```
//!
//! - **Endpoints** come from a [resolver](crate::resolve), always as a full set. A death never edits the set: it is an
//!   overlay, and the endpoint comes back when it answers.
//! - **A task of the client** dials, watches and probes each endpoint, whether calls come or not; [`Phase`](crate::Phase) has
//!   the states. No call waits for a dial while another endpoint is ready.
//! - **Suspicion is cheap**: a suspect leaves the rotation and is asked by fresh dials; what it carries goes on. Only death, told
//!   by the monitor or found by silence *and* an unanswered dial, ends what is in flight.
//! - **A waiting call has not been sent**: it waits in the client's queue, not in HTTP/2's, and is free to go anywhere.
//! - **What failed is sent again** only when that is known to do no harm; see [below](#what-is-sent-again).
//!
//! # Choosing
//!
//! *A resolver.* With a monitor that watches Kubernetes, an origin `obit:///service.namespace:port` needs no DNS. A headless
//! service's name resolves to its pods with [`Dns`](crate::resolve::Dns), the default; a ClusterIP's name does not: behind it
//! there is one address for all pods, and nothing here to choose from. Outside Kubernetes: SRV records, a fixed list, or a
//! [`Resolve`](crate::resolve::Resolve) of your own.
//!
//! *A policy.* [`policy`](crate::policy) has the table. Round robin is right until calls or endpoints differ in cost; then two
//! choices, or peak EWMA where some endpoints are slow at times. Above some hundred endpoints, connect to a
//! [`Subset`](crate::Subset).
//!
//! *What may be repeated.* Say it: [`idempotent`](crate::ClientBuilder::idempotent) for all calls of a kind,
//! [`Idempotent`](crate::Idempotent) for one. Every gRPC call is a POST, and without a word none of them is repeated once it
//! may have been processed.
//!
//! # What is sent again
//!
//! | what became of it | sent again | paid from the budget |
//! |---|---|---|
//! | never left: the dial failed, the connection ended before it took it | always | no |
//! | the server goes away and says it did not process it (GOAWAY without an error, with a lower last stream) | always | no |
//! | the server says it did not process it (REFUSED_STREAM; such a GOAWAY with an error) | always | from the second time |
//! | it may have been processed | if it is idempotent, three times at most | yes |
//! | the head of a response came | never: it is the caller's | |
//! | a streaming body of which more than 64 KiB went out | never | |
//!
//! The [budget](crate::RetryBudget) is a fifth of the traffic and ten a second, so that a service in trouble sees no more than
//! 1.2 times its load.
//!
//! # Tuning
//!
//! The defaults are for pods in one cluster. What is most often changed:
//!
//! | setting | default | change it when |
//! |---|---|---|
//! | [`queue`](crate::ClientBuilder::queue) | 8 192 calls, 5 s | callers give up sooner: a shorter deadline tells them earlier |
//! | [`connect_timeout`](crate::ClientBuilder::connect_timeout) | 5 s | peers are far away or slow to greet; it bounds no call while another endpoint is ready |
//! | [`drain_timeout`](crate::ClientBuilder::drain_timeout) | 30 s | calls last longer than that |
//! | [`connections_per_endpoint`](crate::ClientBuilder::connections_per_endpoint) | 1 | large bodies share a connection, or a server works with one thread for each |
//! | [`hedge_after`](crate::ClientBuilder::hedge_after) | never | the slowest calls matter more than a few calls made twice; calls on a suspect then go elsewhere at once, too |
//! | [`outlier_detection`](crate::ClientBuilder::outlier_detection), [`health_check`](crate::ClientBuilder::health_check) | off | endpoints can be up and useless |
//! | [`max_connection_age`](crate::ClientBuilder::max_connection_age) | never | there is a load balancer below HTTP in between |
//!
//! Whether it works as meant is seen in [`events`](crate::Client::events), [`snapshot`](crate::Client::snapshot) and, with the
//! features of their names, metrics and a debug page.
//!
//! # What obit cannot know
//!
//! - **Whether a call was processed** that was on its way when the peer died. Nobody can; only the caller knows whether twice
//!   does harm.
//! - **That a living process is stuck.** Its kernel acknowledges on its behalf, and a stopped, throttled or deadlocked server
//!   looks alive to every means of this library but a health check and a deadline of the caller's. That is on purpose:
//!   what is slow must not be taken for dead.
//! - **What is behind an address** that stands for many: a ClusterIP, a load balancer, a sidecar. A verdict on the address says
//!   nothing of the pod behind it; connections end by their own evidence.
//! - **Who is right** when one client alone cannot reach a peer. The monitor weighs who saw what, see `docs/design.md`; without
//!   one, a client believes its own sockets.
//! - **Time before the first connection**: a peer that never answered this node has no learnt threshold, and is waited for
//!   50 ms before it is suspected.
