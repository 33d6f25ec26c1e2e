//! The socket's file: there from the moment somebody listens behind it, replaced in one step, and removed at the end
//! unless it has become another monitor's; a monitor that was there before and goes on gets its place back.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use super::former;

/// The socket could not be put in its place.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Its directory.
    #[error("cannot create the directory {}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The socket itself.
    #[error("cannot listen at {}", path.display())]
    Listen {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something else than a socket is there.
    #[error("{} exists and is no socket: remove it, or name another path", .0.display())]
    NotASocket(PathBuf),
}

/// The file of a socket of ours. Dropping it removes the file, if it is still ours, or gives its place back to the monitor before.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Between this look and the removal another monitor may take the place: it would have to start within
        // microseconds, and its clients would find no socket until it is started again.
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            if former::give_back(&self.path) {
                tracing::info!(path = %self.path.display(), "the monitor before this one has its place back");
            } else if let Err(error) = fs::remove_file(&self.path) {
                tracing::warn!(path = %self.path.display(), %error, "the socket's file stays behind");
            }
            return;
        }
        let former = former::name(&self.path);
        if identity(&former).is_ok_and(|found| found == self.identity) {
            // The one that took the place has nobody to give it back to.
            let _ = fs::remove_file(former);
        }
    }
}

/// Listens at `path`. Whoever connects there meets either the old monitor or this one, never nothing: the socket is bound
/// under a temporary name made of `token` and renamed over the old one. Everyone may connect. Creates the directory.
///
/// # Errors
/// [`BindError`].
///
/// # Panics
/// Outside a tokio runtime with I/O enabled.
pub fn bind(path: &Path, token: u64) -> Result<(UnixListener, SocketFile), BindError> {
    use std::os::unix::fs::FileTypeExt;
    if fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
        return Err(BindError::NotASocket(path.to_owned()));
    }
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        let create = fs::DirBuilder::new().recursive(true).mode(0o755).create(directory);
        create.map_err(|source| BindError::Directory {
            path: directory.to_owned(),
            source,
        })?;
    }
    listen(path, token).map_err(|source| BindError::Listen {
        path: path.to_owned(),
        source,
    })
}

fn listen(path: &Path, token: u64) -> io::Result<(UnixListener, SocketFile)> {
    // In a container every monitor is process 1: only a random token makes the name its own.
    let temporary = path.with_extension(format!("{token:016x}"));
    let listener = UnixListener::bind(&temporary)?;
    let file = place(&temporary, path).inspect_err(|_| {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    })?;
    Ok((listener, file))
}

fn place(temporary: &Path, path: &Path) -> io::Result<SocketFile> {
    fs::set_permissions(temporary, fs::Permissions::from_mode(0o666))?;
    let identity = identity(temporary)?;
    former::keep(path);
    fs::rename(temporary, path)?;
    Ok(SocketFile {
        path: path.to_owned(),
        identity,
    })
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}
