//! What `go list` and `go build -v` print, read as progress. Pure.

use std::time::Duration;

use crate::clock::minutes;

/// How far a command of Go's has come.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Modules fetched.
    fetched: usize,
    /// Packages compiled.
    compiled: usize,
    /// Packages there are to compile; nothing is known of that while it is 0.
    to_compile: usize,
}

impl Progress {
    /// Nothing yet, of so many packages.
    pub(super) fn of(to_compile: usize) -> Self {
        Self {
            to_compile,
            ..Self::default()
        }
    }

    /// Takes in one line of Go's standard error. `false` if it tells no progress: then a person should see it.
    pub(super) fn read_line(&mut self, line: &str) -> bool {
        if line.starts_with("go: downloading ") {
            self.fetched += 1;
            return true;
        }
        // That of a module that nothing requires yet, once a package.
        if line.starts_with("go: finding ") || line.starts_with("go: found ") {
            return true;
        }
        let package = !line.is_empty() && line.split('/').all(is_element);
        if package {
            self.compiled += 1;
        }
        package
    }

    /// Where it stands, in words: `812 of 2904 packages, 3 min 10 s`.
    pub(super) fn tell(&self, elapsed: Duration) -> String {
        let elapsed = minutes(elapsed);
        match (self.compiled, self.to_compile, self.fetched) {
            (0, 0, 0) => elapsed,
            (0, 0, fetched) => format!("{fetched} modules fetched, {elapsed}"),
            (compiled, 0, _) => format!("{compiled} packages, {elapsed}"),
            // The last ones are the programs: all compiled is not yet all linked.
            (compiled, total, _) if compiled >= total => format!("{total} of {total} packages, linking, {elapsed}"),
            (compiled, total, _) => format!("{compiled} of {total} packages, {elapsed}"),
        }
    }
}

/// Whether these are characters that an element of an import path may have; a message has spaces and colons.
fn is_element(element: &str) -> bool {
    let allowed = |it: char| it.is_ascii_alphanumeric() || "-._~".contains(it);
    !element.is_empty() && element.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fetched_modules_and_compiled_packages_are_counted_and_messages_are_not() {
        let mut progress = Progress::default();
        for line in [
            "go: downloading k8s.io/api v0.37.2",
            "go: downloading github.com/JeffAshton/win_pdh v0.0.0-20161109143554-76bb4ee9f0ab",
            "internal/goarch",
            "k8s.io/kubernetes/pkg/apis/core/v1",
            "gopkg.in/natefinch/lumberjack.v2",
            "command-line-arguments",
        ] {
            assert!(progress.read_line(line), "{line}");
        }
        for line in [
            "# k8s.io/kubernetes/pkg/kubelet",
            "pkg/kubelet/kubelet.go:17:2: undefined: thing",
            "go: k8s.io/kubernetes@v1.37.2: reading https://proxy.example/…: 502 Bad Gateway",
            "compile: signal: killed",
            "",
        ] {
            assert!(!progress.read_line(line), "{line}");
        }
        assert_eq!((progress.fetched, progress.compiled), (2, 4));
    }

    #[test]
    fn it_tells_what_it_knows_and_no_more() {
        let told = |fetched, compiled, to_compile, seconds| {
            let progress = Progress {
                fetched,
                compiled,
                to_compile,
            };
            progress.tell(Duration::from_secs(seconds))
        };
        assert_eq!(told(0, 0, 0, 4), "4 s");
        assert_eq!(told(210, 0, 0, 12), "210 modules fetched, 12 s");
        assert_eq!(told(0, 812, 0, 60), "812 packages, 1 min 0 s");
        assert_eq!(told(0, 0, 2904, 1), "0 of 2904 packages, 1 s");
        assert_eq!(told(210, 812, 2904, 190), "812 of 2904 packages, 3 min 10 s");
        assert_eq!(told(0, 2904, 2904, 400), "2904 of 2904 packages, linking, 6 min 40 s");
    }
}
