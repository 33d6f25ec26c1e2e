//! Whether two sets of Kubernetes objects are the same.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What Helm alone puts on objects.
const OF_HELM: [&str; 4] = [
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    "helm.sh/chart",
];

/// Kinds that one set has and the other is not meant to: Helm makes namespaces by itself.
const NOT_COMPARED: &str = "Namespace";

/// Where the two differ, a sentence each; none: they are the same but for Helm's own labels, and namespaces.
pub(super) fn differences(base: Vec<Value>, chart: Vec<Value>) -> Vec<String> {
    let (base, chart) = (by_name(base), by_name(chart));
    let names: BTreeSet<_> = base.keys().chain(chart.keys()).collect();
    let mut found = Vec::new();
    for name in names {
        match (base.get(name), chart.get(name)) {
            (Some(base), Some(chart)) => compare(name, base, chart, &mut found),
            (Some(_), None) => found.push(format!("{name}: not in the chart")),
            (None, _) => found.push(format!("{name}: in the chart alone")),
        }
    }
    found
}

fn by_name(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let objects = objects.into_iter().filter(|object| object["kind"] != NOT_COMPARED);
    objects
        .map(|mut object| {
            if let Some(labels) = object.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
                for label in OF_HELM {
                    labels.remove(label);
                }
            }
            let part = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or("?");
            (format!("{} {}", part("/kind"), part("/metadata/name")), object)
        })
        .collect()
}

fn compare(path: &str, base: &Value, chart: &Value, found: &mut Vec<String>) {
    match (base, chart) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
                compare(&format!("{path}/{key}"), &of(a), &of(b), found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&format!("{path}/{index}"), a, b, found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(format!("{path}: {} in deploy/, {} by the chart", short(a), short(b))),
    }
}

/// A value as one reads it in a terminal.
fn short(value: &Value) -> String {
    const LONGEST: usize = 120;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn account(labels: Value) -> Value {
        json!({"kind": "ServiceAccount", "metadata": {"name": "obit", "labels": labels}})
    }

    #[test]
    fn labels_of_helm_and_namespaces_make_no_difference() {
        let base = vec![
            json!({"kind": "Namespace", "metadata": {"name": "obit-system"}}),
            account(json!({"app.kubernetes.io/name": "obit"})),
        ];
        let chart = vec![account(
            json!({"app.kubernetes.io/name": "obit", "helm.sh/chart": "obit-0.1.0"}),
        )];
        assert_eq!(differences(base, chart), Vec::<String>::new());
    }

    #[test]
    fn a_difference_is_named_with_its_place() {
        let object = |port: u16, more: &[&str]| json!({"kind": "DaemonSet", "metadata": {"name": "m"}, "port": port, "more": more});
        let found = differences(vec![object(1, &["a"])], vec![object(2, &[])]);
        let expected = [
            r#"DaemonSet m/more: ["a"] in deploy/, [] by the chart"#,
            "DaemonSet m/port: 1 in deploy/, 2 by the chart",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_only_one_has_is_a_difference() {
        let label = account(json!({"team": "a"}));
        assert_eq!(
            differences(vec![label.clone()], vec![]),
            ["ServiceAccount obit: not in the chart"]
        );
        assert_eq!(
            differences(vec![], vec![label.clone()]),
            ["ServiceAccount obit: in the chart alone"]
        );
        assert_eq!(
            differences(vec![label], vec![account(json!({}))]),
            [r#"ServiceAccount obit/metadata/labels/team: "a" in deploy/, null by the chart"#]
        );
    }
}
