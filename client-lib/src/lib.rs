//! Your connection pool reads the obituary before it dials the dead.
//!
//! obit's monitor sees in the kernel when a peer resets, refuses or no longer answers. This crate carries that knowledge
//! to whatever an application connects with, and evicts what is dead within milliseconds. Its layers are each usable
//! alone:
//!
//! 1. [`Feed`]: the subscription to the node's monitor, and a health map read without locks.
//! 2. [`connection::dial`]: dials and connections that end when their peer dies; [`connector()`] puts them under hyper-util,
//!    tonic and connectrpc.
//!    [`guard_process`] does it for sockets that others dial, in this process.
//! 3. [`EvictLayer`] and [`EvictDiscover`]: eviction for tower services and balancers.
//!
//! 4. [`Client`]: the whole answer, for HTTP/2 and HTTP/1.1, in clear and with TLS. It resolves a name, keeps connections
//!    to its endpoints, picks among those in rotation, evicts the dead, and repeats elsewhere the calls that may be repeated.
//!
//! Without a monitor everything keeps working from its own evidence.
//!
//! The [guide](mod@guide) tells why and how, what to choose and to tune, and what obit cannot know.
//!
//! # One changed line
//!
//! With tonic, instead of `GreeterClient::connect("http://greeter.default:50051").await?`:
//!
//! ```no_run
//! # struct GreeterClient<T>(T);
//! # impl<T: tonic::client::GrpcService<tonic::body::Body>> GreeterClient<T> {
//! #     fn new(service: T) -> Self { Self(service) }
//! # }
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = GreeterClient::new(obit::Client::builder("http://greeter.default:50051").build()?);
//! # Ok(()) }
//! ```
//!
//! With connectrpc, instead of `Http2Connection::lazy_plaintext(uri)`:
//!
//! ```no_run
//! use connectrpc::client::ServiceTransport;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let transport = ServiceTransport::new(obit::Client::builder("http://greeter.default:50051").build()?);
//! # fn usable(_: impl connectrpc::client::ClientTransport) {}
//! # usable(transport);
//! # Ok(()) }
//! ```
//!
//! A tonic channel that shall stay a `tonic::transport::Channel`, instead of `endpoint.connect_lazy()`:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let endpoint = tonic::transport::Endpoint::from_static("http://greeter.default:50051");
//! let channel = endpoint.connect_with_connector_lazy(obit::connector());
//! # Ok(()) }
//! ```
//!
//! Any other client in the process, reqwest for one: see [`guard`].
//!
//! # What may be repeated
//!
//! A call that never left, or that the server says it did not process, moves to another endpoint by itself. One that may
//! have been processed is repeated only if its method is idempotent or you say so: for one request with [`Idempotent`],
//! for all with [`ClientBuilder::idempotent`].
//!
//! ```no_run
//! let mut request = tonic::Request::new(());
//! request.extensions_mut().insert(obit::Idempotent(true));
//! ```
//!
//! # Features
//!
//! | feature | default | what for |
//! |---|---|---|
//! | `tls` | no | `https` origins in [`Client`]: rustls with ring, the system's roots unless others are given |
//! | `kube` | no | [`resolve::EndpointSlices`](resolve): endpoints straight from the Kubernetes API. The program that links it chooses the version of Kubernetes by a feature of `k8s-openapi` |
//! | `metrics` | no | [`Client`] counts calls and endpoints through the `metrics` facade: `describe_metrics` has the list |
//! | `reqwest` | no | `guard::Resolver`, which leaves the dead out of the addresses of a name |
//! | `serde` | no | `Serialize` for [`EndpointStatus`] |
//! | `debug-page` | no | `debug_page`: how a client's endpoints stand, as a page or as JSON |
//! | `kernel-tests` | no | tests of this crate that make network namespaces and need root |

mod backoff;
pub mod client;
mod clock;
pub mod connection;
pub mod connector;
mod error;
pub mod evict;
pub mod feed;
pub mod guard;
#[cfg(doc)]
pub mod guide;
mod health;
mod service;
mod sync;

#[cfg(feature = "debug-page")]
pub use client::debug_page;
#[cfg(feature = "metrics")]
pub use client::describe_metrics;
pub use client::{
    Body, Cause, Client, ClientBuilder, EndpointEvent, EndpointStatus, Error, HealthCheck, Idempotent,
    OutlierDetection, Phase, Protocol, RetryBudget, Subset, policy, resolve,
};
pub use connector::{Connector, connector};
pub use error::PeerDead;
pub use evict::{EvictDiscover, EvictLayer};
pub use feed::{Feed, FeedStatus, PeerWatch};
pub use guard::{ProcessGuard, guard_process};
pub use health::{Health, Reason, Verdict};
