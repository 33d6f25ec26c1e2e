//! Accepts subscribers and gives each a session of its own; what one does disturbs no other.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Settings;
use super::session;
use crate::hub::Hub;
use crate::kubernetes::Board;
use crate::subscribers::Roll;

/// How long all sessions together may take to say goodbye.
const FAREWELL: Duration = Duration::from_secs(2);

/// How many more connections than subscribers there may be: those that are just being told to go.
const TURNED_AWAY: usize = 64;

/// How long to wait when the system gives no more descriptors or memory.
const BREATHER: Duration = Duration::from_millis(100);

/// Serves subscribers until `stop` is ready; then says goodbye to each, and ends within two seconds. Without a `board` they are told
/// that Kubernetes is not watched. Who they are is entered in the `roll`, which says what they may ask for.
pub async fn serve(
    listener: UnixListener,
    hub: Arc<Hub>,
    board: Option<Arc<Board>>,
    roll: Arc<Roll>,
    settings: Settings,
    stop: impl Future<Output = ()>,
) {
    let settings = Arc::new(settings);
    let connections_max = hub.limits().subscribers + TURNED_AWAY;
    let (shutdown, stopping) = watch::channel(false);
    let mut sessions = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = sessions.join_next() => {}
            stream = accept(&listener) => {
                if sessions.len() >= connections_max {
                    tracing::warn!(connections = sessions.len(), "a connection was dropped unheard");
                    continue;
                }
                let session = session::run(
                    stream,
                    Arc::clone(&hub),
                    board.clone(),
                    Arc::clone(&roll),
                    Arc::clone(&settings),
                    stopping.clone(),
                );
                sessions.spawn(session);
            }
        }
    }
    // Nobody new: whoever comes now finds the next monitor, or nothing.
    drop(listener);
    // An error means that there is nobody to tell.
    let _ = shutdown.send(true);
    let farewell = async { while sessions.join_next().await.is_some() {} };
    if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
        tracing::warn!(
            sessions = sessions.len(),
            "subscribers did not take their goodbye in time"
        );
    }
}

async fn accept(listener: &UnixListener) -> UnixStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "a subscriber could not be accepted");
                // One that gave up already is no reason to wait.
                if error.kind() != io::ErrorKind::ConnectionAborted {
                    tokio::time::sleep(BREATHER).await;
                }
            }
        }
    }
}
