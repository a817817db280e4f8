//! What a monitoring system asks for: counters of this process, and gauges that are set when it asks.
//!
//! Names follow the practice of Prometheus (prefix, base unit, `_total`). No label holds a name from outside: a model's
//! id or a path would make a new series for each. Nothing here decides anything, and nothing here can fail.

mod process;

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use process::Process;

/// Names and values of labels; always the same names for one metric.
type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter>;
type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// What `Content-Type` the text has.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What stands in the tables and on the disk when somebody asks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Census {
    /// Jobs by state, as far back as history is kept.
    pub(crate) jobs: Vec<(&'static str, u64)>,
    /// How long the oldest waiting job has waited; zero when none does.
    pub(crate) oldest_age: Duration,
    /// Bytes of the registered models that are complete.
    pub(crate) cache_bytes: u64,
    /// Free bytes where the cache is; none when the system does not say.
    pub(crate) disk_free: Option<u64>,
    /// Whether this process holds the lease.
    pub(crate) lease_held: bool,
    /// Bytes per second that downloads are held to; none means no limit.
    pub(crate) rate_limit: Option<u64>,
    /// Whether nothing runs, because of a person's pause or a window.
    pub(crate) queue_held: bool,
}

/// All metrics of one manager.
pub(crate) struct Metrics {
    registry: Registry,
    downloads: Family<Labels, Gauge>,
    finished: Counters,
    duration: Histograms,
    oldest_age: Gauge,
    received: Counters,
    reused: Counter,
    upstream: Counters,
    upstream_duration: Histogram,
    retries: Counters,
    verify_failures: Counter,
    rate_limit: Gauge,
    queue_held: Gauge,
    lease_held: Gauge,
    lease_acquisitions: Counter,
    cache_bytes: Gauge,
    disk_free: Gauge,
    sse_clients: Gauge,
    requests: Histograms,
    process: Process,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn download_times() -> Histogram {
    Histogram::new([
        1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0, 86_400.0,
    ])
}

fn request_times() -> Histogram {
    Histogram::new([0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0])
}

impl Default for Metrics {
    fn default() -> Self {
        let mut all = Self {
            registry: Registry::default(),
            downloads: Family::default(),
            finished: Family::default(),
            duration: Family::new_with_constructor(download_times),
            oldest_age: Gauge::default(),
            received: Family::default(),
            reused: Counter::default(),
            upstream: Family::default(),
            upstream_duration: request_times(),
            retries: Family::default(),
            verify_failures: Counter::default(),
            rate_limit: Gauge::default(),
            queue_held: Gauge::default(),
            lease_held: Gauge::default(),
            lease_acquisitions: Counter::default(),
            cache_bytes: Gauge::default(),
            disk_free: Gauge::default(),
            sse_clients: Gauge::default(),
            requests: Family::new_with_constructor(request_times),
            process: Process::default(),
        };
        all.name();
        all
    }
}

impl Metrics {
    /// Gives each metric its name. The encoder adds units, and `_total` to counters.
    fn name(&mut self) {
        let version: Labels = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        let root = &mut self.registry;
        let own = root.sub_registry_with_prefix("modelhaul");
        own.register("build", "The running version", Info::new(version));
        own.register(
            "downloads",
            "Jobs by state, as far back as history is kept",
            self.downloads.clone(),
        );
        own.register(
            "downloads_finished",
            "Jobs that the worker of this process has ended",
            self.finished.clone(),
        );
        own.register_with_unit(
            "download_duration",
            "Time from the first claim to the end",
            Unit::Seconds,
            self.duration.clone(),
        );
        own.register_with_unit(
            "queue_oldest_age",
            "How long the oldest waiting job has waited",
            Unit::Seconds,
            self.oldest_age.clone(),
        );
        own.register_with_unit(
            "received",
            "Bytes received from the hub",
            Unit::Bytes,
            self.received.clone(),
        );
        own.register_with_unit(
            "reused",
            "Bytes that were in the cache before the attempt that completed the job",
            Unit::Bytes,
            self.reused.clone(),
        );
        own.register(
            "upstream_requests",
            "Requests to the hub and to where it sends for content",
            self.upstream.clone(),
        );
        own.register_with_unit(
            "upstream_request_duration",
            "Time until the headers of such an answer",
            Unit::Seconds,
            self.upstream_duration.clone(),
        );
        own.register(
            "retries",
            "Attempts that ended with a wait, by its reason",
            self.retries.clone(),
        );
        own.register(
            "verify_failures",
            "Jobs that ended because content was not what its digest says",
            self.verify_failures.clone(),
        );
        own.register(
            "rate_limit_bytes_per_second",
            "The bandwidth limit in force; 0 means none, or a standstill (see queue_held)",
            self.rate_limit.clone(),
        );
        own.register(
            "queue_held",
            "Whether a pause or a window lets nothing run",
            self.queue_held.clone(),
        );
        own.register(
            "lease_held",
            "Whether this process works on the queue",
            self.lease_held.clone(),
        );
        own.register(
            "lease_acquisitions",
            "How often this process took the lease",
            self.lease_acquisitions.clone(),
        );
        own.register_with_unit(
            "cache",
            "Size of the registered models that are complete",
            Unit::Bytes,
            self.cache_bytes.clone(),
        );
        own.register_with_unit(
            "disk_free",
            "Free space where the cache is",
            Unit::Bytes,
            self.disk_free.clone(),
        );
        own.register(
            "sse_clients",
            "Who listens to events",
            self.sse_clients.clone(),
        );
        root.register_with_unit(
            "http_server_request_duration",
            "Time until an answer of this service began",
            Unit::Seconds,
            self.requests.clone(),
        );
        self.process.name(root);
    }

    /// An answer of the service; `route` is the template, never the path.
    pub(crate) fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
        let known = METHODS.iter().find(|known| **known == method);
        let labels = vec![
            ("method", (*known.unwrap_or(&"OTHER")).to_owned()),
            ("route", route.to_owned()),
            ("status", status.to_string()),
        ];
        let histogram = self.requests.get_or_create(&labels);
        histogram.observe(took.as_secs_f64());
    }

    /// A request to the hub (`to_hub`) or to another host that it named; no status means no answer.
    pub(crate) fn asked_upstream(&self, to_hub: bool, status: Option<u16>, took: Duration) {
        let host = if to_hub { "hub" } else { "content" };
        let code = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        let labels = vec![("host_class", host.to_owned()), ("code", code)];
        self.upstream.get_or_create(&labels).inc();
        self.upstream_duration.observe(took.as_secs_f64());
    }

    /// Bytes that came over the wire.
    pub(crate) fn received(&self, bytes: u64) {
        let labels = vec![
            ("source", "hub".to_owned()),
            ("transport", "http".to_owned()),
        ];
        self.received.get_or_create(&labels).inc_by(bytes);
    }

    /// A job has ended: `completed`, `failed` or `cancelled`, after so long.
    pub(crate) fn ended(
        &self,
        outcome: &'static str,
        source: &'static str,
        after: Option<Duration>,
    ) {
        let labels = vec![
            ("outcome", outcome.to_owned()),
            ("source", source.to_owned()),
        ];
        self.finished.get_or_create(&labels).inc();
        if let Some(after) = after {
            let labels = vec![("outcome", outcome.to_owned())];
            let histogram = self.duration.get_or_create(&labels);
            histogram.observe(after.as_secs_f64());
        }
    }

    /// Bytes that a completed job did not have to fetch.
    pub(crate) fn reused(&self, bytes: u64) {
        self.reused.inc_by(bytes);
    }

    /// So many listen to events now.
    pub(crate) fn listening(&self, clients: usize) {
        self.sse_clients
            .set(i64::try_from(clients).unwrap_or(i64::MAX));
    }

    /// A job waits before its next attempt.
    pub(crate) fn retried(&self, reason: &'static str) {
        let labels = vec![("reason", reason.to_owned())];
        self.retries.get_or_create(&labels).inc();
    }

    /// Makes the series of these reasons, and those of the outcomes, at 0: an increase from nothing is none to Prometheus.
    pub(crate) fn begin(&self, reasons: impl Iterator<Item = &'static str>) {
        for reason in reasons {
            let labels = vec![("reason", reason.to_owned())];
            drop(self.retries.get_or_create(&labels));
        }
        for outcome in ["completed", "failed", "cancelled"] {
            let labels = vec![
                ("outcome", outcome.to_owned()),
                ("source", "hub".to_owned()),
            ];
            drop(self.finished.get_or_create(&labels));
        }
    }

    /// A job ended because of wrong content.
    pub(crate) fn verification_failed(&self) {
        self.verify_failures.inc();
    }

    /// This process took the lease.
    pub(crate) fn took_lease(&self) {
        self.lease_acquisitions.inc();
    }

    /// Everything as text (`OpenMetrics`).
    pub(crate) fn text(&self, census: &Census) -> String {
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        for (state, jobs) in &census.jobs {
            let labels = vec![("state", (*state).to_owned())];
            self.downloads.get_or_create(&labels).set(whole(*jobs));
        }
        self.oldest_age.set(whole(census.oldest_age.as_secs()));
        self.cache_bytes.set(whole(census.cache_bytes));
        if let Some(free) = census.disk_free {
            self.disk_free.set(whole(free));
        }
        self.lease_held.set(i64::from(census.lease_held));
        self.rate_limit.set(whole(census.rate_limit.unwrap_or(0)));
        self.queue_held.set(i64::from(census.queue_held));
        self.process.look();
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.registry) {
            tracing::error!(%error, "The metrics cannot be written.");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_stands_in_the_text_under_its_name() {
        let metrics = Metrics::default();
        metrics.answered(
            "GET",
            "/api/v1/models/{model_id}",
            200,
            Duration::from_millis(3),
        );
        metrics.answered("BREW", "(none)", 404, Duration::from_millis(3));
        metrics.asked_upstream(true, Some(200), Duration::from_millis(20));
        metrics.asked_upstream(false, None, Duration::from_secs(2));
        metrics.received(1000);
        metrics.received(24);
        metrics.ended("completed", "hub", Some(Duration::from_secs(70)));
        metrics.retried("rate_limited");
        metrics.listening(7);
        let census = Census {
            jobs: vec![("queued", 3), ("failed", 0)],
            oldest_age: Duration::from_secs(9),
            disk_free: Some(u64::MAX),
            rate_limit: None,
            queue_held: true,
            lease_held: true,
            cache_bytes: 5,
        };
        let text = metrics.text(&census);
        for line in [
            "modelhaul_downloads{state=\"queued\"} 3",
            "modelhaul_downloads{state=\"failed\"} 0",
            "modelhaul_downloads_finished_total{outcome=\"completed\",source=\"hub\"} 1",
            "modelhaul_download_duration_seconds_bucket{le=\"300.0\",outcome=\"completed\"} 1",
            "modelhaul_received_bytes_total{source=\"hub\",transport=\"http\"} 1024",
            "modelhaul_upstream_requests_total{host_class=\"content\",code=\"none\"} 1",
            "modelhaul_retries_total{reason=\"rate_limited\"} 1",
            "modelhaul_rate_limit_bytes_per_second 0",
            "modelhaul_lease_held 1",
            "modelhaul_queue_held 1",
            "modelhaul_sse_clients 7",
            "modelhaul_queue_oldest_age_seconds 9",
            "http_server_request_duration_seconds_count{method=\"OTHER\",route=\"(none)\",status=\"404\"} 1",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
        assert!(text.contains("modelhaul_build_info{version=") && text.ends_with("# EOF\n"));
    }

    #[test]
    fn the_process_tells_of_itself() {
        let text = Metrics::default().text(&Census::default());
        let value = |name: &str| -> f64 {
            let line = text
                .lines()
                .find(|line| line.starts_with(&format!("{name} ")));
            line.unwrap()
                .split(' ')
                .next_back()
                .unwrap()
                .parse()
                .unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_start_time_seconds") > 1.6e9);
        assert!(value("process_cpu_seconds_total") >= 0.0);
    }
}
