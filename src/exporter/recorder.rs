//! A recorder of metrics, and Prometheus's text for them.
//!
//! Whoever counts adds to atomic numbers; a lock is taken only to hand out a handle, and to write
//! the text. Nothing is kept for each observation, so memory does not grow where nobody collects.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{
    Counter, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, SharedString, Unit,
};
use parking_lot::Mutex;

/// The upper bounds of buckets for seconds: from a store in memory to the longest deadline.
const SECONDS: &[f64] =
    &[0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// The same for numbers of something.
const COUNTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

#[derive(Default)]
pub(super) struct Recorder {
    families: Mutex<Families>,
}

/// Numbers by name and by labels, as both are written.
type Series<T> = BTreeMap<(String, String), Arc<T>>;

#[derive(Default)]
struct Families {
    help: BTreeMap<String, SharedString>,
    counters: Series<AtomicU64>,
    /// Each the bits of an `f64`.
    gauges: Series<AtomicU64>,
    histograms: Series<Buckets>,
}

impl Recorder {
    /// Everything, in the text format 0.0.4.
    pub(super) fn text(&self) -> String {
        self.families.lock().to_string()
    }

    fn describe(&self, name: &KeyName, help: SharedString) {
        self.families.lock().help.insert(name.as_str().to_owned(), help);
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, help);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.families.lock().counters.entry(place(key)).or_default().clone())
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.families.lock().gauges.entry(place(key)).or_default().clone())
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let new = || Arc::new(Buckets::of(key.name()));
        let mut families = self.families.lock();
        Histogram::from_arc(families.histograms.entry(place(key)).or_insert_with(new).clone())
    }
}

/// Name, and labels: `a="1",b="2"`.
fn place(key: &Key) -> (String, String) {
    let escape = |text: &str| text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
    let labels = key.labels().map(|it| format!("{}=\"{}\"", it.key(), escape(it.value())));
    (key.name().to_owned(), labels.collect::<Vec<_>>().join(","))
}

/// How many observations there were up to each bound, and their sum.
struct Buckets {
    bounds: &'static [f64],
    /// One for each bound, and one for what is above all.
    counts: Vec<AtomicU64>,
    /// The bits of an `f64`.
    sum: AtomicU64,
}

impl Buckets {
    fn of(name: &str) -> Self {
        let bounds = if name.ends_with("_seconds") { SECONDS } else { COUNTS };
        let counts = (0..=bounds.len()).map(|_| AtomicU64::default()).collect();
        Self { bounds, counts, sum: AtomicU64::default() }
    }
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        GaugeFn::increment(&self.sum, value);
    }
}

impl Display for Families {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.write(f, "counter", &self.counters, |f, name, labels, counter| {
            writeln!(f, "{} {}", series(name, "", labels, ""), counter.load(Ordering::Relaxed))
        })?;
        self.write(f, "gauge", &self.gauges, |f, name, labels, gauge| {
            writeln!(f, "{} {}", series(name, "", labels, ""), number(gauge))
        })?;
        self.write(f, "histogram", &self.histograms, |f, name, labels, buckets| {
            let mut count = 0;
            for (at, in_bucket) in buckets.counts.iter().enumerate() {
                count += in_bucket.load(Ordering::Relaxed);
                let bound = buckets.bounds.get(at).map_or("+Inf".to_owned(), f64::to_string);
                let bound = format!("le=\"{bound}\"");
                writeln!(f, "{} {count}", series(name, "_bucket", labels, &bound))?;
            }
            writeln!(f, "{} {}", series(name, "_sum", labels, ""), number(&buckets.sum))?;
            writeln!(f, "{} {count}", series(name, "_count", labels, ""))
        })
    }
}

impl Families {
    /// The series of one type, each family under its heading.
    fn write<T>(
        &self,
        f: &mut Formatter<'_>,
        kind: &str,
        all: &Series<T>,
        each: impl Fn(&mut Formatter<'_>, &str, &str, &T) -> fmt::Result,
    ) -> fmt::Result {
        let mut family = None;
        for ((name, labels), value) in all {
            if family.replace(name) != Some(name) {
                if let Some(help) = self.help.get(name) {
                    writeln!(
                        f,
                        "# HELP {name} {}",
                        help.replace('\\', r"\\").replace('\n', r"\n")
                    )?;
                }
                writeln!(f, "# TYPE {name} {kind}")?;
            }
            each(f, name, labels, value)?;
        }
        Ok(())
    }
}

/// `name_suffix{labels,more}`
fn series(name: &str, suffix: &str, labels: &str, more: &str) -> String {
    let labels: Vec<_> = [labels, more].into_iter().filter(|it| !it.is_empty()).collect();
    match labels.join(",") {
        none if none.is_empty() => format!("{name}{suffix}"),
        labels => format!("{name}{suffix}{{{labels}}}"),
    }
}

fn number(bits: &AtomicU64) -> f64 {
    f64::from_bits(bits.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use metrics::{counter, describe_counter, gauge, histogram, with_local_recorder};

    use super::Recorder;

    #[test]
    fn text_is_in_prometheus_format_and_escaped() {
        let recorder = Recorder::default();
        with_local_recorder(&recorder, || {
            describe_counter!("a_total", "Two\nlines, \\.");
            for value in ["plain", "\"\\\n", "plain"] {
                counter!("a_total", "b" => value, "c" => "d").increment(1);
            }
            gauge!("g").set(-0.5);
            for value in [1.0, 2.0, 2.5, 100.0] {
                histogram!("h", "e" => "f").record(value);
            }
        });
        let expected = r#"# HELP a_total Two\nlines, \\.
# TYPE a_total counter
a_total{b="\"\\\n",c="d"} 1
a_total{b="plain",c="d"} 2
# TYPE g gauge
g -0.5
# TYPE h histogram
h_bucket{e="f",le="1"} 1
h_bucket{e="f",le="2"} 2
h_bucket{e="f",le="4"} 3
h_bucket{e="f",le="8"} 3
h_bucket{e="f",le="16"} 3
h_bucket{e="f",le="32"} 3
h_bucket{e="f",le="64"} 3
h_bucket{e="f",le="+Inf"} 4
h_sum{e="f"} 105.5
h_count{e="f"} 4
"#;
        assert_eq!(recorder.text(), expected);
    }
}
