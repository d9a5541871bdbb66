//! Figures of the process, from the system.

use std::{fs, sync::atomic::Ordering};

use rustix::process::{Resource, getrlimit};

use crate::{
    admin::view::View,
    clock::cpu_time,
    metrics::{page::Page, table},
};

/// Adds the figures; what the system does not tell is left out.
pub(super) fn add(page: &mut Page, view: &View) {
    page.add(&table::BUILD_INFO, [env!("CARGO_PKG_VERSION")], 1);
    page.add(&table::START_TIME, [], view.started_at.as_secs_f64());
    page.add(&table::CPU, [], cpu_time().as_secs_f64());
    if let Some(bytes) = fs::read_to_string("/proc/self/status").ok().and_then(|status| resident(&status)) {
        page.add(&table::RESIDENT_MEMORY, [], bytes);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is the folder itself.
        page.add(&table::OPEN_FDS, [], open.count().saturating_sub(1));
    }
    if let Some(max) = getrlimit(Resource::Nofile).current {
        page.add(&table::MAX_FDS, [], max);
    }
    page.add(&table::WORKERS, [], view.workers.len());
    for worker in &view.workers {
        let clients = worker.clients.load(Ordering::Relaxed);
        page.add(&table::WORKER_CLIENTS, [&worker.index.to_string()], clients);
    }
}

/// `VmRSS` of `/proc/PID/status` (proc(5)), in bytes.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_in_bytes() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t    1234 kB\nVmData: 1 kB\n"), Some(1234 * 1024));
        assert_eq!(resident("VmRSS: much"), None);
        assert_eq!(resident(""), None);
    }
}
