//! Removes the namespaces of labs that were killed before they could clean up.

use std::path::Path;

use super::command::{NetError, run};
use super::owner;

/// The names among `names` that belong to a lab whose process is not alive.
pub fn leftovers<'a>(names: impl Iterator<Item = &'a str>, alive: impl Fn(u32) -> bool) -> Vec<&'a str> {
    names
        .filter(|name| owner(name).is_some_and(|pid| !alive(pid)))
        .collect()
}

/// The names in what `ip netns list` prints: "name (id: 3)".
fn names(listed: &str) -> impl Iterator<Item = &str> {
    listed.lines().filter_map(|line| line.split_whitespace().next())
}

/// Deletes every namespace left behind by a dead lab, and returns their names.
///
/// # Errors
/// When `ip` cannot run or refuses.
pub fn sweep() -> Result<Vec<String>, NetError> {
    let listed = run("ip", &["netns", "list"], "")?;
    let dead = leftovers(names(&listed), |pid| Path::new("/proc").join(pid.to_string()).exists());
    for name in &dead {
        if let Err(error) = run("ip", &["netns", "delete", name], "") {
            // Another lab that starts at this moment may have been faster.
            if names(&run("ip", &["netns", "list"], "")?).any(|left| left == *name) {
                return Err(error);
            }
        }
    }
    Ok(dead.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_namespaces_of_dead_labs_are_swept() {
        let names = [
            "obit-lab-10-client",
            "obit-lab-11-client",
            "cni-10",
            "obit-lab-11-pod-0",
        ];
        assert_eq!(
            leftovers(names.into_iter(), |pid| pid == 10),
            ["obit-lab-11-client", "obit-lab-11-pod-0"]
        );
    }
}
