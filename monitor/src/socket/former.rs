//! The socket of the monitor that was there before, while that goes on beside this one. An update starts a node's new monitor before it
//! ends the old one, and may be taken back: then the new one ends first, and the old one must be found again. So the new one keeps
//! the old one's socket under a second name, and gives it its place back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

/// The second name of the socket at `path`.
pub(super) fn name(path: &Path) -> PathBuf {
    path.with_extension("former")
}

/// Keeps the socket at `path`, which is about to be replaced, if somebody listens there.
pub(super) fn keep(path: &Path) {
    let former = name(path);
    if listens(path) {
        let _ = fs::remove_file(&former);
        if let Err(error) = fs::hard_link(path, &former) {
            tracing::warn!(path = %path.display(), %error, "the monitor before this one will not get its place back");
        }
    } else if !listens(&former) {
        // Whoever was there did not end by himself.
        let _ = fs::remove_file(&former);
    }
}

/// Gives the place at `path` back to the monitor before, if it is there still.
pub(super) fn give_back(path: &Path) -> bool {
    let former = name(path);
    if listens(&former) {
        return fs::rename(&former, path).is_ok();
    }
    let _ = fs::remove_file(&former);
    false
}

/// Whether somebody listens at `path`; also where that cannot be found out, be it that the queue there is full, or that this process
/// gave up dialling.
fn listens(path: &Path) -> bool {
    let dial = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    let gone = [io::ErrorKind::ConnectionRefused, io::ErrorKind::NotFound];
    dial().map_or_else(|error| !gone.contains(&error.kind()), |()| true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use tokio::net::UnixListener;

    use super::super::file::{SocketFile, bind};
    use super::*;

    /// Somebody who listens at `path`, and the number of his socket's inode.
    struct Monitor {
        _listener: UnixListener,
        file: SocketFile,
        inode: u64,
    }

    impl Monitor {
        fn starts(path: &Path, token: u64) -> Self {
            let (_listener, file) = bind(path, token).unwrap();
            let inode = inode(path).unwrap();
            Self { _listener, file, inode }
        }

        fn end_without_a_word(self) {
            std::mem::forget(self.file);
        }
    }

    fn inode(path: &Path) -> Option<u64> {
        fs::symlink_metadata(path).ok().map(|file| file.ino())
    }

    fn left(path: &Path) -> usize {
        fs::read_dir(path.parent().unwrap()).unwrap().count()
    }

    #[tokio::test]
    async fn who_ends_first_gives_the_place_back_and_who_ends_last_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("obit.sock");
        let old = Monitor::starts(&path, 1);
        let new = Monitor::starts(&path, 2);
        assert_eq!(inode(&path), Some(new.inode));
        drop(new);
        assert_eq!((inode(&path), left(&path)), (Some(old.inode), 1));
        let new = Monitor::starts(&path, 3);
        drop(old);
        assert_eq!((inode(&path), left(&path)), (Some(new.inode), 1));
        drop(new);
        assert_eq!(left(&path), 0);
    }

    #[tokio::test]
    async fn one_that_is_killed_and_started_again_still_gives_the_place_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("obit.sock");
        let old = Monitor::starts(&path, 1);
        Monitor::starts(&path, 2).end_without_a_word();
        drop(Monitor::starts(&path, 3));
        assert_eq!((inode(&path), left(&path)), (Some(old.inode), 1));
    }

    #[tokio::test]
    async fn nobody_who_is_dead_gets_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("obit.sock");
        Monitor::starts(&path, 1).end_without_a_word();
        drop(Monitor::starts(&path, 2));
        assert_eq!(left(&path), 0, "dead before the other came");
        let old = Monitor::starts(&path, 3);
        let new = Monitor::starts(&path, 4);
        old.end_without_a_word();
        drop(new);
        assert_eq!(left(&path), 0, "dead since");
    }
}
