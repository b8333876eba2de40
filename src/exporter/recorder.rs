//! A recorder of metrics: what the facade `metrics` hears, in the client library of Prometheus.
//!
//! Whoever counts adds to atomic numbers; a lock is taken to hand out a handle, to observe a
//! duration, and to write the text. Nothing is kept for each observation, so memory does not grow
//! where nobody collects.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{CounterFn, GaugeFn, HistogramFn, Key, KeyName, Metadata, SharedString, Unit};
use parking_lot::Mutex;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

/// The upper bounds of buckets for seconds: from a store in memory to the longest deadline.
const SECONDS: &[f64] =
    &[0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// The same for numbers of something.
const COUNTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

#[derive(Default)]
pub(super) struct Recorder {
    families: Mutex<Families>,
}

type Labels = Vec<(String, String)>;

/// Metrics by name and by labels.
#[derive(Default)]
struct Families {
    registry: Registry,
    help: HashMap<String, String>,
    counters: HashMap<String, Family<Labels, Counter>>,
    gauges: HashMap<String, Family<Labels, FloatGauge>>,
    histograms: HashMap<String, Family<Labels, Histogram, Bounds>>,
}

type FloatGauge = Gauge<f64, AtomicU64>;

/// The upper bounds of a histogram's buckets.
#[derive(Clone, Debug)]
struct Bounds(&'static [f64]);

impl MetricConstructor<Histogram> for Bounds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

impl Recorder {
    /// Everything, in the text format `OpenMetrics` 1.0.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.families.lock().registry)
            .expect("a string takes whatever is written");
        text
    }

    fn describe(&self, name: &KeyName, help: &SharedString) {
        // The library ends each with a full stop itself.
        let help = help.trim_end_matches('.').to_owned();
        self.families.lock().help.insert(name.as_str().to_owned(), help);
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> metrics::Counter {
        let Families { registry, help, counters, .. } = &mut *self.families.lock();
        let family = family(registry, help, counters, key, Family::default);
        let counter = family.get_or_create(&labels(key)).clone();
        metrics::Counter::from_arc(Arc::new(Handle(counter)))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> metrics::Gauge {
        let Families { registry, help, gauges, .. } = &mut *self.families.lock();
        let family = family(registry, help, gauges, key, Family::default);
        let gauge = family.get_or_create(&labels(key)).clone();
        metrics::Gauge::from_arc(Arc::new(Handle(gauge)))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> metrics::Histogram {
        let bounds = if key.name().ends_with("_seconds") { SECONDS } else { COUNTS };
        let new = || Family::new_with_constructor(Bounds(bounds));
        let Families { registry, help, histograms, .. } = &mut *self.families.lock();
        let family = family(registry, help, histograms, key, new);
        let histogram = family.get_or_create(&labels(key)).clone();
        metrics::Histogram::from_arc(Arc::new(Handle(histogram)))
    }
}

/// The family that a key belongs to. A new one is registered, under what was said of it before.
fn family<'f, F: Metric + Clone>(
    registry: &mut Registry,
    help: &HashMap<String, String>,
    families: &'f mut HashMap<String, F>,
    key: &Key,
    new: impl FnOnce() -> F,
) -> &'f F {
    let name = key.name();
    families.entry(name.to_owned()).or_insert_with(|| {
        let family = new();
        let help = help.get(name).cloned().unwrap_or_default();
        // The library ends counters with `_total` itself.
        registry.register(name.trim_end_matches("_total"), help, family.clone());
        family
    })
}

fn labels(key: &Key) -> Labels {
    key.labels().map(|it| (it.key().to_owned(), it.value().to_owned())).collect()
}

/// A metric of the library, as the facade reaches it.
struct Handle<M>(M);

impl CounterFn for Handle<Counter> {
    fn increment(&self, value: u64) {
        self.0.inc_by(value);
    }

    fn absolute(&self, value: u64) {
        self.0.inner().fetch_max(value, Ordering::Relaxed);
    }
}

impl GaugeFn for Handle<FloatGauge> {
    fn increment(&self, value: f64) {
        self.0.inc_by(value);
    }

    fn decrement(&self, value: f64) {
        self.0.dec_by(value);
    }

    fn set(&self, value: f64) {
        self.0.set(value);
    }
}

impl HistogramFn for Handle<Histogram> {
    fn record(&self, value: f64) {
        self.0.observe(value);
    }
}

#[cfg(test)]
mod tests {
    use metrics::{counter, describe_counter, gauge, histogram, with_local_recorder};

    use super::Recorder;

    #[test]
    fn what_the_facade_hears_is_in_the_text() {
        let recorder = Recorder::default();
        with_local_recorder(&recorder, || {
            describe_counter!("a_total", "What it is.");
            for value in ["plain", "\"\\\n", "plain"] {
                counter!("a_total", "b" => value, "c" => "d").increment(1);
            }
            counter!("a_total", "b" => "plain", "c" => "d").absolute(1);
            gauge!("g").set(-0.5);
            gauge!("g").increment(2.0);
            gauge!("g").decrement(1.0);
            for value in [1.0, 2.0, 2.5, 100.0] {
                histogram!("h", "e" => "f").record(value);
            }
            histogram!("s_seconds").record(0.001);
        });
        let text = recorder.text();
        for line in [
            "# HELP a What it is.",
            "# TYPE a counter",
            r#"a_total{b="\"\\\n",c="d"} 1"#,
            r#"a_total{b="plain",c="d"} 2"#,
            "# TYPE g gauge",
            "g 0.5",
            "# TYPE h histogram",
            r#"h_bucket{le="2.0",e="f"} 2"#,
            r#"h_bucket{le="64.0",e="f"} 3"#,
            r#"h_bucket{le="+Inf",e="f"} 4"#,
            r#"h_sum{e="f"} 105.5"#,
            r#"h_count{e="f"} 4"#,
            r#"s_seconds_bucket{le="0.0005"} 0"#,
            r#"s_seconds_bucket{le="0.001"} 1"#,
            "# EOF",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is missing:\n{text}");
        }
    }
}
