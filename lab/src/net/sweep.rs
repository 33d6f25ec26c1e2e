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

/// Deletes every namespace left behind by a dead lab, and returns their names.
///
/// # Errors
/// When `ip` cannot run or refuses.
pub fn sweep() -> Result<Vec<String>, NetError> {
    let listed = run("ip", &["netns", "list"], "")?;
    // "name (id: 3)": the name is the first word.
    let names = listed.lines().filter_map(|line| line.split_whitespace().next());
    let dead = leftovers(names, |pid| Path::new("/proc").join(pid.to_string()).exists());
    for name in &dead {
        run("ip", &["netns", "delete", name], "")?;
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
