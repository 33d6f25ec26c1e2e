//! `bench`: what obit costs and how fast it is. The lab measures; here stands what it can be told.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::lab::lab;

/// All benches, or one of them.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: Option<Bench>,
    #[command(flatten)]
    all: All,
}

/// How all of them are run.
#[derive(Args)]
struct All {
    /// Five minutes instead of half an hour: for every change, to be compared with another quick run
    #[arg(long)]
    quick: bool,
    /// Where the results go; `target/bench/DATE.json` unless given
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How often each part is measured, its two sides by turns; 7 times unless given, fewer with --quick where it takes long
    #[arg(long, value_name = "N")]
    pairs: Option<u16>,
    /// A part to measure, as `monitor/stall`, or a bench, as `lab`; may be repeated. Everything if left out
    #[arg(long = "part", value_name = "NAME")]
    parts: Vec<String>,
    /// The tables as markdown
    #[arg(long)]
    markdown: bool,
    /// Shows only that the benches work, beside whatever else runs
    #[arg(long, conflicts_with = "quick")]
    trial: bool,
}

#[derive(Subcommand)]
enum Bench {
    /// What the monitor costs and how fast it is (needs root; see docs/benchmarks.md)
    #[command(disable_help_flag = true)]
    Monitor {
        /// Handed to the bench as they are; `cargo xtask bench monitor --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// What the client library costs and how fast it is (needs root; see docs/benchmarks.md)
    #[command(disable_help_flag = true)]
    Client {
        /// Handed to the bench as they are; `cargo xtask bench client --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// What becomes of calls in the lab's scenarios, beside runs in which nothing happens (needs root)
    #[command(disable_help_flag = true)]
    Lab {
        /// Handed to the bench as they are; `cargo xtask bench lab --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// What changed between two runs of all benches, and what is noise
    ///
    /// Ends with 0 if nothing got worse, with 1 if something did, and with 2 if the files are none that can be compared.
    Diff {
        /// The results of the run before
        #[arg(value_name = "A")]
        a: PathBuf,
        /// The results of the run after
        #[arg(value_name = "B")]
        b: PathBuf,
        /// One line of JSON a row, instead of a table
        #[arg(long)]
        json: bool,
    },
}

/// Has the lab measure or compare; its exit code is ours.
pub(crate) fn bench(arguments: Arguments) -> Result<ExitCode> {
    lab(&words(arguments))
}

/// The same for the lab.
fn words(Arguments { what, all }: Arguments) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["bench".into()];
    let (name, given) = match what {
        None => ("", all.words()),
        Some(Bench::Monitor { arguments }) => ("monitor", arguments),
        Some(Bench::Client { arguments }) => ("client", arguments),
        Some(Bench::Lab { arguments }) => ("lab", arguments),
        Some(Bench::Diff { a, b, json }) => {
            let json = json.then(|| "--json".into());
            ("diff", [a.into(), b.into()].into_iter().chain(json).collect())
        }
    };
    if !name.is_empty() {
        words.push(name.into());
    }
    words.extend(given);
    words
}

impl All {
    fn words(self) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        let flags = [
            (self.quick, "--quick"),
            (self.trial, "--trial"),
            (self.markdown, "--markdown"),
        ];
        words.extend(flags.iter().filter(|(given, _)| *given).map(|(_, flag)| (*flag).into()));
        words.extend(
            self.pairs
                .into_iter()
                .flat_map(|pairs| ["--pairs".into(), pairs.to_string().into()]),
        );
        words.extend(self.out.into_iter().flat_map(|out| ["--out".into(), out.into()]));
        words.extend(self.parts.into_iter().flat_map(|part| ["--part".into(), part.into()]));
        words
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        bench: Arguments,
    }

    fn handed_on(line: &str) -> String {
        let line = Line::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{error}"));
        let words = words(line.bench);
        words
            .iter()
            .map(|word| word.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn everything_is_measured_unless_a_bench_is_named() {
        assert_eq!(handed_on("bench"), "bench");
        assert_eq!(
            handed_on("bench --part lab --quick --out a.json --pairs 9 --part monitor/stall"),
            "bench --quick --pairs 9 --out a.json --part lab --part monitor/stall"
        );
        assert_eq!(
            handed_on("bench lab kill --pairs 3 --help"),
            "bench lab kill --pairs 3 --help"
        );
        assert_eq!(handed_on("bench diff a b --json"), "bench diff a b --json");
    }

    #[test]
    fn a_comparison_needs_two_files() {
        assert!(Line::try_parse_from(["bench", "diff", "a"]).is_err());
        assert!(Line::try_parse_from(["bench", "--quick", "--trial"]).is_err());
    }
}
