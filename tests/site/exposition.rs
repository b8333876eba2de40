//! Prometheus's text format 0.0.4, read strictly.

use std::collections::{BTreeMap, BTreeSet};

/// Every sample: `name{labels}` as written, and its value. Panics where the text is not valid.
pub fn read(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with('\n'), "the last line has no end: {text:?}");
    let mut samples = BTreeMap::new();
    let mut families = BTreeSet::new();
    let mut family = ("", "");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect(line);
            assert!(is_name(name) && !help.is_empty(), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split_once(' ').expect(line);
            assert!(is_name(family.0), "{line}");
            assert!(["counter", "gauge", "histogram"].contains(&family.1), "{line}");
            assert_eq!(family.1 == "counter", family.0.ends_with("_total"), "{line}");
            assert!(families.insert(family.0), "a family comes twice: {line}");
        } else {
            let (series, value) = line.rsplit_once(' ').expect(line);
            let (name, labels) = match series.split_once('{') {
                Some((name, labels)) => (name, labels.strip_suffix('}').expect(line)),
                None => (series, ""),
            };
            assert!(is_name(name) && are_labels(labels), "{line}");
            let suffixes: &[_] =
                if family.1 == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            let suffix = name.strip_prefix(family.0).expect(line);
            assert!(suffixes.contains(&suffix), "a sample outside of its family: {line}");
            let value: f64 = value.parse().expect(line);
            assert!(value.is_finite() && (value >= 0.0 || family.1 == "gauge"), "{line}");
            assert_eq!(samples.insert(series.to_owned(), value), None, "twice: {line}");
        }
    }
    assert_buckets(text, &samples);
    samples
}

/// Buckets count up to their bounds, which rise; the last holds all.
fn assert_buckets(text: &str, samples: &BTreeMap<String, f64>) {
    let mut last: Option<(String, f64, f64)> = None;
    for line in text.lines().filter(|it| !it.starts_with('#') && it.contains("le=\"")) {
        let (head, rest) = line.split_once("le=\"").unwrap();
        let (bound, count) = rest.split_once("\"} ").expect(line);
        let head = head.replacen("_bucket{", "{", 1);
        let bound: f64 = if bound == "+Inf" { f64::INFINITY } else { bound.parse().expect(line) };
        let count: f64 = count.parse().expect(line);
        if let Some((_, below, up_to)) = last.as_ref().filter(|(it, ..)| *it == head) {
            assert!(*below < bound && *up_to <= count, "{line}");
        }
        if bound.is_infinite() {
            let (name, labels) = head
                .trim_end_matches([',', '{'])
                .split_once('{')
                .unwrap_or((head.trim_end_matches('{'), ""));
            let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
            assert_eq!(samples.get(&format!("{name}_count{labels}")), Some(&count), "{line}");
            assert!(samples.contains_key(&format!("{name}_sum{labels}")), "{line}");
            last = None;
        } else {
            last = Some((head, bound, count));
        }
    }
    assert!(last.is_none(), "a histogram without a bucket for all: {last:?}");
}

fn is_name(text: &str) -> bool {
    text.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_' || it == ':')
        && text.chars().all(|it| it.is_ascii_alphanumeric() || it == '_' || it == ':')
}

/// `a="1",b="2"`, or nothing.
fn are_labels(text: &str) -> bool {
    text.is_empty()
        || text.split("\",").all(|label| {
            let label = label.strip_suffix('"').unwrap_or(label);
            label.split_once("=\"").is_some_and(|(name, value)| {
                is_name(name) && !name.contains(':') && !value.contains(['"', '\\', '\n'])
            })
        }) && text.ends_with('"')
}

#[test]
fn what_is_not_valid_is_found() {
    let good = "# TYPE a_total counter\na_total{b=\"c\",d=\"e\"} 1\n# TYPE h histogram\n\
                h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3.5\nh_count 2\n";
    assert_eq!(read(good).len(), 5);
    for (part, instead) in [
        ("counter", "number"),
        ("a_total{", "b_total{"),
        ("\"c\"", "\"c"),
        ("\"c\"", "c"),
        ("} 1\n#", "} one\n#"),
        ("} 1\n#", "} -1\n#"),
        ("h_count 2", "h_count 3"),
        ("h_sum 3.5\n", ""),
        ("h_sum", "h_total"),
        ("\"1\"} 1", "\"1\"} 3"),
        ("h_bucket{le=\"+Inf\"} 2\n", ""),
        ("# TYPE h histogram\n", ""),
        ("h_count 2\n", "h_count 2"),
        ("h_count 2\n", "h_count 2\nh_count 2\n"),
    ] {
        let bad = good.replacen(part, instead, 1);
        assert_ne!(bad, good);
        let verdict = std::panic::catch_unwind(|| read(&bad));
        assert!(verdict.is_err(), "{bad}");
    }
}
