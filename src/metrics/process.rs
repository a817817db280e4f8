//! What the process uses, as Linux says it in `/proc/self`; elsewhere the numbers stay 0.

use std::fs;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Ticks per second in `/proc`, on all architectures that we build for.
const TICKS: f64 = 100.0;

/// The numbers that client libraries usually have.
#[derive(Debug, Default)]
pub(super) struct Process {
    memory: Gauge,
    files: Gauge,
    start: Gauge<f64, AtomicU64>,
    cpu: Counter<f64, AtomicU64>,
}

impl Process {
    pub(super) fn name(&self, registry: &mut Registry) {
        let own = registry.sub_registry_with_prefix("process");
        own.register_with_unit(
            "resident_memory",
            "Memory that is in use",
            Unit::Bytes,
            self.memory.clone(),
        );
        own.register("open_fds", "Open files and sockets", self.files.clone());
        own.register_with_unit(
            "start_time",
            "When the process began, since the Unix epoch",
            Unit::Seconds,
            self.start.clone(),
        );
        own.register_with_unit(
            "cpu",
            "Processor time, in user and kernel mode",
            Unit::Seconds,
            self.cpu.clone(),
        );
    }

    /// Looks anew.
    pub(super) fn look(&self) {
        if let Some(kib) = field("/proc/self/status", "VmRSS:") {
            self.memory.set(kib.saturating_mul(1024));
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            self.files
                .set(i64::try_from(files.count()).unwrap_or(i64::MAX));
        }
        let Ok(stat) = fs::read_to_string("/proc/self/stat") else {
            return;
        };
        // The name in brackets may hold anything; what counts is behind the last bracket.
        let fields: Vec<&str> = stat
            .rsplit_once(") ")
            .map(|(_, rest)| rest.split(' ').collect())
            .unwrap_or_default();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u32>().ok());
        if let (Some(user), Some(system)) = (ticks(11), ticks(12)) {
            let now = (f64::from(user) + f64::from(system)) / TICKS;
            // Two who ask at once may both add; then the next one adds less.
            self.cpu.inc_by((now - self.cpu.get()).max(0.0));
        }
        let since_boot = fields.get(19).and_then(|text| text.parse::<f64>().ok());
        let boot = field("/proc/stat", "btime").and_then(|boot| u32::try_from(boot).ok());
        if let (Some(since_boot), Some(boot)) = (since_boot, boot) {
            self.start.set(f64::from(boot) + since_boot / TICKS);
        }
    }
}

/// The first number of the line with this name.
fn field(path: &str, name: &str) -> Option<i64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
