//! The digest as one page that needs nothing beside itself. Pure.

use askama::Template;

use super::chart::{Chart, HEIGHT, WIDTH};
use super::table::{Line, Table};
use super::{Cell, Digest, Row, summary};
use crate::record::Phase;
use crate::report::table;

/// The page.
#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    digest: &'a Digest,
    summary: Vec<String>,
    sections: Vec<Section>,
    width: f64,
    height: f64,
}

/// A scenario.
struct Section {
    name: String,
    summary: String,
    table: Table,
    /// What was done, and when, in the first picture.
    phases: String,
    pictures: Vec<Picture>,
}

/// A client's picture.
struct Picture {
    client: String,
    trial: u32,
    chart: Chart,
    /// Of its title and of its description.
    id: String,
    /// What it shows, in words.
    described: String,
    /// The run in the article's form.
    form: String,
}

/// The page as HTML, which is well-formed XML as well.
///
/// # Errors
/// askama's, which writing to memory does not give.
pub fn page(digest: &Digest) -> Result<String, askama::Error> {
    let sections = digest.rows.iter().enumerate().map(|(row, it)| Section {
        name: clean(&it.scenario),
        summary: clean(&it.summary),
        table: cleaned(Table::of(it)),
        phases: phases(it),
        pictures: it
            .cells
            .iter()
            .enumerate()
            .filter_map(|(column, cell)| picture(cell, &format!("picture-{row}-{column}")))
            .collect(),
    });
    Page {
        digest,
        summary: summary(digest).iter().map(|it| clean(it)).collect(),
        sections: sections.collect(),
        width: WIDTH,
        height: HEIGHT,
    }
    .render()
}

/// The victims of other trials are others.
fn phases(row: &Row) -> String {
    let typical = row.cells.iter().find_map(|cell| cell.typical.as_ref());
    let phases = typical.map_or(&[][..], |it| &it.run.run.course.phases);
    #[expect(clippy::cast_precision_loss, reason = "runs are shorter than 2^53 ns")]
    let told = |phase: &Phase| format!("{} ({:.1} s)", clean(&phase.name), phase.at_ns as f64 / 1e9);
    phases.iter().map(told).collect::<Vec<_>>().join(", ")
}

fn cleaned(table: Table) -> Table {
    let line = |it: Line| Line {
        client: clean(&it.client),
        cells: it.cells.map_err(|why| clean(&why)),
    };
    Table {
        lines: table.lines.into_iter().map(line).collect(),
        ..table
    }
}

fn picture(cell: &Cell, id: &str) -> Option<Picture> {
    let typical = cell.typical.as_ref()?;
    let mut chart = Chart::of(&typical.run.run.course, typical.run.run.figures.elapsed_ns)?;
    for phase in &mut chart.phases {
        phase.name = clean(&phase.name);
    }
    let seconds = &typical.run.run.course.seconds;
    let all = |of: fn(&crate::record::Second) -> u64| seconds.iter().map(of).sum::<u64>();
    Some(Picture {
        client: clean(&cell.client),
        form: table(std::slice::from_ref(&typical.run))
            .lines()
            .map(clean)
            .collect::<Vec<_>>()
            .join("\n"),
        trial: typical.trial,
        chart,
        id: id.to_owned(),
        described: format!(
            "{} calls answered and {} failed in {} seconds; the slowest took {} ms",
            all(|it| it.answered),
            all(|it| it.failed),
            seconds.last().map_or(0, |it| it.at_s + 1),
            seconds.iter().map(|it| it.max_ns).max().unwrap_or(0) / 1_000_000,
        ),
    })
}

/// Without what a page must not hold, and what turns the direction of a text: it is somebody's.
fn clean(text: &str) -> String {
    let harmless = |it: &char| {
        !it.is_control()
            && !matches!(it, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}')
    };
    text.chars().filter(harmless).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::tests::{documents, environment};
    use super::*;

    fn text_of(page: &roxmltree::Document<'_>) -> String {
        page.descendants().filter_map(|node| node.text()).collect()
    }

    #[test]
    fn the_page_is_whole_and_loads_nothing() {
        let html = page(&Digest::of(&environment(), &documents())).unwrap();
        let parsed = roxmltree::Document::parse(html.trim_start_matches("<!DOCTYPE html>")).unwrap();
        let mut ids = BTreeSet::new();
        for node in parsed.descendants().filter(roxmltree::Node::is_element) {
            assert!(!["script", "link", "img", "iframe", "object"].contains(&node.tag_name().name()));
            for attribute in node.attributes() {
                assert!(!["src", "href", "style"].contains(&attribute.name()), "{attribute:?}");
                assert!(
                    attribute.name() != "id" || ids.insert(attribute.value()),
                    "{attribute:?}"
                );
                if attribute.name() == "aria-labelledby" {
                    assert!(html.contains(&format!("id=\"{}\"", attribute.value())));
                }
            }
        }
        assert!(!html.contains("url(") && !html.contains("@import"));
        let text = text_of(&parsed);
        for word in [
            "kill happens",
            "obit",
            "tonic",
            "there is no go",
            "252 (251–252)",
            "Linux 6.18.0",
            "Load Balance",
        ] {
            assert!(text.contains(word), "{word} in {text}");
        }
    }

    #[test]
    fn what_somebody_says_is_text() {
        let mut environment = environment();
        let hostile = "<script>alert(1)</script>\u{202e}\u{0}\"'&amp;";
        environment.flags.scenarios[1].clients[2] = hostile.to_owned();
        environment.flags.scenarios[1].summary = hostile.to_owned();
        environment
            .versions
            .clients
            .insert(hostile.to_owned(), Some(hostile.to_owned()));
        let html = page(&Digest::of(&environment, &documents())).unwrap();
        let parsed = roxmltree::Document::parse(html.trim_start_matches("<!DOCTYPE html>")).unwrap();
        assert!(parsed.descendants().all(|node| node.tag_name().name() != "script"));
        assert!(text_of(&parsed).contains("<script>alert(1)</script>\"'&amp;"));
    }
}
