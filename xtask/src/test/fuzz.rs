//! A minute of each fuzz target.

use anyhow::{Error, Result};

use super::tally::Tally;
use crate::command::Purpose;
use crate::fuzz::{Outcome, Tools, all, session};

const SECONDS: u64 = 60;

/// Runs every target. Where the tools cannot be had, each is named as skipped.
pub(crate) fn check(tally: &mut Tally) -> Result<()> {
    let targets = all()?;
    match Tools::find_or_install() {
        Ok(tools) => count(tally, &targets, session(&tools, &targets, SECONDS, Purpose::Try)),
        Err(error) => skip(tally, &targets, &error),
    }
    Ok(())
}

fn count(tally: &mut Tally, targets: &[String], outcomes: Result<Vec<Outcome>>) {
    match outcomes {
        Ok(outcomes) => {
            for outcome in outcomes {
                tally.check(&name(&outcome.target), outcome.failure.is_none());
            }
        }
        Err(error) => {
            eprintln!("   {error:#}");
            for target in targets {
                tally.check(&name(target), false);
            }
        }
    }
}

fn skip(tally: &mut Tally, targets: &[String], error: &Error) {
    eprintln!("   skipped: {error:#}");
    tally.skipped.extend(targets.iter().map(|target| name(target)));
}

fn name(target: &str) -> String {
    format!("fuzz: {target}")
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn without_the_tools_each_target_is_skipped_by_name() {
        let mut tally = Tally::default();
        skip(&mut tally, &["btf".into(), "record".into()], &anyhow!("no compiler"));
        assert_eq!(tally.skipped, ["fuzz: btf", "fuzz: record"]);
        assert!(tally.failed.is_empty());
    }

    #[test]
    fn targets_that_do_not_build_are_failures() {
        let mut tally = Tally::default();
        count(
            &mut tally,
            &["btf".into(), "record".into()],
            Err(anyhow!("it does not build")),
        );
        assert_eq!(tally.failed, ["fuzz: btf", "fuzz: record"]);
    }

    #[test]
    fn the_workspace_has_targets_to_run() {
        assert!(all().unwrap().contains(&"record".to_owned()));
    }
}
