//! The files in `deploy/systemd`, as systemd itself reads them.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::tally::Tally;
use crate::command::{spell, target_directory, workspace_root};
use crate::host;

/// The name of the check, for the list of what was skipped.
pub(crate) const CHECK: &str = "deploy: systemd unit";

/// What `systemd-analyze security` may say, in tenths of its points from 0 (safe) to 10.
const EXPOSURE_MAX: &str = "--threshold=20";

const UNIT: &str = "obit-monitor.service";

/// Where the unit expects the binary, which is not installed here.
const INSTALLED: &str = "/usr/local/bin/obit";

/// Has systemd parse the unit and the user it runs as, and judge how far the unit is shut in.
pub(crate) fn check(tally: &mut Tally) {
    let folder = workspace_root().join("deploy/systemd");
    tally.outcome(CHECK, &host::install_unit_tools().and_then(|()| verify(&folder)));
}

fn verify(folder: &Path) -> Result<()> {
    let unit = fs::read_to_string(folder.join(UNIT)).context(UNIT)?;
    ensure!(unit.contains(INSTALLED), "{UNIT} does not start {INSTALLED}");
    // Any program does: what is asked is whether there is one.
    let program = std::env::current_exe().context("this program's own file")?;
    let copies = target_directory()?.join("systemd");
    fs::create_dir_all(&copies).with_context(|| format!("cannot create {}", copies.display()))?;
    let copy = copies.join(UNIT);
    fs::write(&copy, unit.replace(INSTALLED, &program.to_string_lossy())).context("a copy of the unit")?;
    quiet(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&copy))?;
    quiet(
        Command::new("systemd-analyze")
            .args(["security", "--offline=true", EXPOSURE_MAX])
            .arg(&copy),
    )?;
    quiet(
        Command::new("systemd-sysusers")
            .arg("--dry-run")
            .arg(folder.join("sysusers.conf")),
    )
}

/// Runs it. What systemd ignores in a file it tells on standard error, and succeeds.
fn quiet(command: &mut Command) -> Result<()> {
    let line = spell(command);
    eprintln!("\x1b[1m   $ {line}\x1b[0m");
    let output = command.output().with_context(|| format!("cannot start `{line}`"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() && !said.contains("ignoring"),
        "`{line}` ended with {}: {}{said}",
        output.status,
        String::from_utf8_lossy(&output.stdout)
    );
    Ok(())
}
