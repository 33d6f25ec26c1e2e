//! What can be seen of `deploy/` without rendering it.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::command::workspace_root;

fn read(path: &str) -> String {
    fs::read_to_string(workspace_root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The groups of alerts, as Prometheus reads them.
fn alerts() -> Vec<Value> {
    let file = yaml("deploy/helm/obit/files/alerts.yaml");
    let groups = file["groups"].as_array().expect("groups");
    groups
        .iter()
        .flat_map(|group| group["rules"].as_array().expect("rules").clone())
        .collect()
}

/// Every expression that is asked of Prometheus.
fn expressions() -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("expr").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| collect(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| collect(value, found)),
            _ => {}
        }
    }
    let dashboard: Value = serde_json::from_str(&read("deploy/dashboards/obit.json")).expect("JSON");
    let mut found = Vec::new();
    collect(&dashboard, &mut found);
    collect(&Value::Array(alerts()), &mut found);
    found
}

/// The names of our figures in an expression.
fn figures(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("obit_"))
}

#[test]
fn alerts_and_dashboard_ask_for_figures_that_exist() {
    let source = read("monitor/src/status/metrics.rs");
    let expressions = expressions();
    let asked: BTreeSet<&str> = expressions.iter().flat_map(|it| figures(it)).collect();
    assert!(asked.len() > 10, "{asked:?}");
    for figure in asked {
        let name = figure.trim_start_matches("obit_");
        let name = name
            .strip_suffix("_total")
            .or(name.strip_suffix("_info"))
            .unwrap_or(name);
        assert!(
            source.contains(&format!("\"{name}\"")),
            "{figure} is no figure of the monitor's"
        );
    }
}

#[test]
fn every_alert_says_what_it_means_and_what_to_do() {
    for alert in alerts() {
        let name = &alert["alert"];
        let annotation = |key: &str| {
            alert["annotations"][key]
                .as_str()
                .unwrap_or_else(|| panic!("{name}: no {key}"))
        };
        assert!(!annotation("summary").is_empty(), "{name}");
        assert!(annotation("description").contains("Next: "), "{name}: no next step");
        assert!(alert["labels"]["severity"].is_string(), "{name}: no severity");
    }
}

#[test]
fn every_alert_leads_to_a_heading_of_the_page_it_names() {
    let page = read("docs/troubleshooting.md");
    let headings: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    for alert in alerts() {
        let name = &alert["alert"];
        let link = alert["annotations"]["runbook_url"]
            .as_str()
            .unwrap_or_else(|| panic!("{name}: no runbook"));
        let heading = link
            .split_once("/docs/troubleshooting.md#")
            .unwrap_or_else(|| panic!("{name}: {link}"))
            .1;
        // Headings that alerts lead to are one word each, as in the address.
        assert!(
            headings.contains(heading),
            "{name}: docs/troubleshooting.md has no heading {heading:?}"
        );
    }
}

#[test]
fn the_chart_has_the_same_dashboard() {
    let (here, chart) = ("deploy/dashboards/obit.json", "deploy/helm/obit/files/obit.json");
    assert!(read(here) == read(chart), "they differ. Next: cp {here} {chart}");
}

#[test]
fn panels_of_the_dashboard_have_numbers_of_their_own_and_do_not_overlap() {
    let dashboard: Value = serde_json::from_str(&read("deploy/dashboards/obit.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len());
    let mut taken = BTreeSet::new();
    for panel in panels {
        let at = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
        for (x, y) in (0..at("w")).flat_map(|x| (0..at("h")).map(move |y| (x, y))) {
            let cell = (at("x") + x, at("y") + y);
            assert!(cell.0 < 24, "{} is beyond the right edge", panel["title"]);
            assert!(taken.insert(cell), "{} overlaps another", panel["title"]);
        }
    }
}

#[test]
fn every_value_of_the_chart_is_in_its_schema_and_the_other_way_round() {
    let schema: Value = serde_json::from_str(&read("deploy/helm/obit/values.schema.json")).expect("JSON");
    let names = |value: &Value| -> BTreeSet<String> { value.as_object().expect("an object").keys().cloned().collect() };
    let mut known = names(&schema["properties"]);
    assert!(known.remove("global"), "what Helm itself may set");
    assert_eq!(names(&yaml("deploy/helm/obit/values.yaml")), known);
}
