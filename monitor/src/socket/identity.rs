//! Who is at the other end of a connection, as the kernel knows it: nothing here is what the subscriber claims.

use std::io;

use tokio::net::UnixStream;

use crate::kernel;
use crate::sighting::NetnsCookie;

/// Who connected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity {
    /// The network namespace it connected from: an accepted unix socket lives in its peer's. `None` on kernels before 5.14,
    /// which do not say: then everything is seen from elsewhere.
    pub(super) netns: Option<NetnsCookie>,
    /// Its process as seen from here, for the log; `None` if it is in another pid namespace.
    pub(super) pid: Option<i32>,
    /// Its user.
    pub(super) uid: Option<u32>,
}

impl Identity {
    pub(super) fn of(stream: &UnixStream) -> Self {
        let credentials = stream.peer_cred().ok();
        Self {
            netns: netns_of(stream).ok().filter(|netns| netns.is_known()),
            pid: credentials.as_ref().and_then(|it| it.pid()).filter(|pid| *pid != 0),
            uid: credentials.map(|it| it.uid()),
        }
    }
}

fn netns_of(stream: &UnixStream) -> io::Result<NetnsCookie> {
    let cookie = kernel::cookie_of(&socket2::SockRef::from(stream))?;
    Ok(NetnsCookie(cookie))
}
