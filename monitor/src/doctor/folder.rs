//! The folder the monitor's socket goes to.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::report::Check;

const SUBJECT: &str = "socket";

/// Whether a monitor of this process's user could listen at `path`. Changes nothing there.
pub(super) fn check(path: &Path) -> Check {
    let shown = path.display();
    if fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
        return Check::missing(
            SUBJECT,
            format!("{shown} exists and is no socket"),
            "remove it, or name another path with --socket",
        );
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let Some(nearest) = folder.ancestors().find(|folder| folder.exists()) else {
        return Check::missing(
            SUBJECT,
            format!("{shown} is nowhere"),
            "name another path with --socket",
        );
    };
    if !nearest.is_dir() {
        return Check::missing(
            SUBJECT,
            format!("{} is no folder", nearest.display()),
            "remove it, or name another path with --socket",
        );
    }
    // As whoever this process acts for, with the capabilities it has.
    if accessat(CWD, nearest, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_err() {
        let said = if nearest == folder {
            format!("{} is not writable for this user", folder.display())
        } else {
            format!("{} is not there and cannot be created by this user", folder.display())
        };
        return Check::missing(SUBJECT, said, next_step(folder));
    }
    if UnixStream::connect(path).is_ok() {
        return Check::fine(
            SUBJECT,
            format!("a monitor listens at {shown}; a new one would take its place"),
        );
    }
    let there = if nearest == folder {
        "is writable"
    } else {
        "can be created"
    };
    Check::fine(SUBJECT, format!("{} {there}", folder.display()))
}

fn next_step(folder: &Path) -> String {
    let user = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    let folder: PathBuf = folder.to_owned();
    format!(
        "`install -d -o {user} -g {group} -m 755 {}` as root (RuntimeDirectory= in a systemd unit does that), or name another \
         path with --socket",
        folder.display()
    )
}

#[cfg(test)]
mod tests {
    use super::super::report::State;
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_folder_that_is_there_or_can_be_made_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["obit.sock", "run/obit/obit.sock"] {
            let check = check(&dir.path().join(path));
            assert_eq!(check.state, State::Fine, "{check}");
        }
    }

    #[test]
    fn a_monitor_that_listens_is_told_of_and_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("obit.sock");
        let listener = UnixListener::bind(&path).unwrap();
        assert!(check(&path).found.contains("a monitor listens"));
        drop(listener);
        // Its file stays behind.
        assert_eq!(check(&path).state, State::Fine);
    }

    #[test]
    fn whatever_else_is_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [&file, &file.join("obit.sock")] {
            let check = check(path);
            assert!(check.state == State::Missing && check.found.contains("file"), "{check}");
            assert!(check.next.is_some_and(|next| next.contains("--socket")));
        }
    }
}
