//! All benches in one run: one after the other, every result kept in one file as soon as it is known.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use super::file::default_path;
use super::record::{BenchFile, BenchFlags, FORMAT, FailedPart, KIND, Row};
use super::{BenchSettings, Effort, Outcome, Suite, client, estimate, lab, markdown, monitor, text};
use crate::child::monitor_program;
use crate::cli::GatherArgs;
use crate::client::Client;
use crate::matrix::{date, machine, versions, write};
use crate::session::ground;
use crate::workload::ClientKind;

/// A part of a bench, or a whole bench.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    suite: &'static str,
    part: Option<&'static str>,
}

impl Chosen {
    /// What is called so: `suite`, or `suite/part`.
    ///
    /// # Errors
    /// Names all parts there are.
    pub fn named(name: &str) -> Result<Self, String> {
        let all = [
            all_of::<monitor::Part>(),
            all_of::<client::Part>(),
            all_of::<lab::Part>(),
        ]
        .concat();
        let names: Vec<_> = all.iter().map(Self::name).collect();
        let found = all.into_iter().find(|it| it.name() == name);
        found.ok_or_else(|| format!("there are {}", names.join(", ")))
    }

    fn name(&self) -> String {
        match self.part {
            Some(part) => format!("{}/{part}", self.suite),
            None => self.suite.to_owned(),
        }
    }

    fn is<P: Suite>(&self, part: P) -> bool {
        self.suite == P::NAME && self.part.is_none_or(|name| name == part.name())
    }
}

fn all_of<P: Suite>() -> Vec<Chosen> {
    let parts = P::ALL.iter().map(|part| Some(part.name()));
    let of = |part| Chosen { suite: P::NAME, part };
    std::iter::once(None).chain(parts).map(of).collect()
}

/// Runs all benches, or the parts of them that were chosen. A missed target is said, and is no error.
///
/// # Errors
/// When the lab cannot be built or the file cannot be written; in the end, when a part could not be measured: the others are.
///
/// # Cancel safety
/// The file is valid after every part, and says whether the run came to its end.
pub async fn gather(args: &GatherArgs) -> anyhow::Result<()> {
    ground()?;
    let mut gathered = Gathered::begin(args).await?;
    eprintln!(
        "{}kept in {}",
        match args.effort.effort() {
            Effort::Full => format!("about {} min, ", gathered.estimate()?.as_secs().div_ceil(60)),
            Effort::Quick => "quick, ".to_owned(),
            Effort::Trial => "on trial, ".to_owned(),
        },
        gathered.path.display()
    );
    gathered.suite::<monitor::Part>().await?;
    gathered.suite::<client::Part>().await?;
    gathered.suite::<lab::Part>().await?;
    gathered.end()
}

/// A run on its way.
struct Gathered<'a> {
    args: &'a GatherArgs,
    path: PathBuf,
    file: BenchFile,
    /// What every bench found, for the tables.
    outcomes: Vec<(&'static str, Vec<Outcome>)>,
}

impl<'a> Gathered<'a> {
    /// Writes the file with nothing in it: who cannot write it learns that before anything is measured.
    async fn begin(args: &'a GatherArgs) -> anyhow::Result<Self> {
        let date = date();
        let path = match &args.out {
            Some(path) => path.clone(),
            None => default_path(&std::env::current_exe().context("the path of this program")?, &date),
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let measured = [ClientKind::Obit, ClientKind::Tonic].map(Client::from);
        let file = BenchFile {
            kind: KIND.to_owned(),
            format: FORMAT,
            date,
            machine: machine(),
            versions: versions(&measured).await,
            flags: BenchFlags {
                effort: args.effort.effort(),
                pairs: args.effort.pairs(),
                parts: args.parts.iter().map(Chosen::name).collect(),
            },
            whole: false,
            rows: Vec::new(),
            failed: Vec::new(),
        };
        let gathered = Self {
            args,
            path,
            file,
            outcomes: Vec::new(),
        };
        gathered.keep()?;
        Ok(gathered)
    }

    fn keep(&self) -> anyhow::Result<()> {
        Ok(write(&self.path, &self.file)?)
    }

    fn settings<P: Suite>(&self) -> anyhow::Result<BenchSettings<P>> {
        let monitor = self.args.monitor.clone();
        let wanted = |part: &P| self.args.parts.is_empty() || self.args.parts.iter().any(|it| it.is(*part));
        Ok(BenchSettings {
            parts: P::ALL.iter().copied().filter(wanted).collect(),
            pairs: self.args.effort.pairs(),
            effort: self.args.effort.effort(),
            monitor: monitor_program(monitor)?,
        })
    }

    fn estimate(&self) -> anyhow::Result<Duration> {
        Ok(estimate(&self.settings::<monitor::Part>()?)
            + estimate(&self.settings::<client::Part>()?)
            + estimate(&self.settings::<lab::Part>()?))
    }

    /// Runs one bench to its end, whatever becomes of its parts.
    async fn suite<P: Suite>(&mut self) -> anyhow::Result<()> {
        let settings = self.settings::<P>()?;
        if settings.parts.is_empty() {
            return Ok(());
        }
        eprintln!("{}", P::NAME);
        let mut found: Vec<Outcome> = Vec::new();
        let mut unkept = false;
        let ran = P::run(&settings, |part, measured| {
            match measured {
                Ok(outcomes) => {
                    self.file.rows.extend(outcomes.iter().map(|it| Row::of(P::NAME, it)));
                    found.extend(outcomes);
                }
                Err(error) => self.file.failed.push(failure::<P>(Some(part), &error)),
            }
            let kept = self.keep();
            unkept = kept.is_err();
            kept
        });
        match ran.await {
            Ok(()) => {}
            Err(error) if unkept => return Err(error),
            // Another bench has another stage.
            Err(error) => {
                self.file.failed.push(failure::<P>(None, &error));
                self.keep()?;
            }
        }
        self.outcomes.push((P::NAME, found));
        Ok(())
    }

    /// The file is whole, and what it says is printed.
    fn end(mut self) -> anyhow::Result<()> {
        self.file.whole = true;
        self.keep()?;
        for (suite, outcomes) in self.outcomes.iter().filter(|(_, outcomes)| !outcomes.is_empty()) {
            match self.args.markdown {
                true => println!("### {suite}\n\n{}", markdown(outcomes)),
                false => println!("{suite}\n\n{}", text(outcomes)),
            }
        }
        for FailedPart { suite, error, .. } in &self.file.failed {
            println!("{suite} {error}");
        }
        eprintln!("kept in {}", self.path.display());
        match self.file.failed.len() {
            0 => Ok(()),
            1 => anyhow::bail!("a part could not be measured"),
            many => anyhow::bail!("{many} parts could not be measured"),
        }
    }
}

fn failure<P: Suite>(part: Option<P>, error: &anyhow::Error) -> FailedPart {
    eprintln!("  {error:#}");
    FailedPart {
        suite: P::NAME.to_owned(),
        part: part.map(|part| part.name().to_owned()),
        error: format!("{error:#}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_chosen_by_its_bench_s_name_and_its_own() {
        let stall = Chosen::named("monitor/stall").unwrap();
        assert!(stall.is(monitor::Part::Stall) && !stall.is(monitor::Part::Storm));
        let lab = Chosen::named("lab").unwrap();
        assert!(lab.is(lab::Part::Kill) && !lab.is(client::Part::Rolling));
        let error = Chosen::named("stall").unwrap_err();
        assert!(error.contains("monitor/stall") && error.contains("lab/kill"), "{error}");
    }
}
