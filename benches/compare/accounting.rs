//! What a process tree costs, from `/proc`: CPU time and resident memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use pgsteer::clock::{Clock, Moment};

use crate::Result;
use crate::calls::Count;
use crate::scenario::{Measurement, Metric};

/// Linux counts a process's CPU time for user space in hundredths of a second (`USER_HZ`, part of its ABI).
const TICK: Duration = Duration::from_millis(10);

/// What is asked about a proxy while it works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    /// Nothing: there is no proxy.
    Nothing,
    /// The CPU time of the process tree under this process.
    Cpu(u32),
    /// The system calls of this process.
    Calls(u32),
}

/// A stretch of time over which that, and everybody else's CPU time, is taken.
#[derive(Debug)]
pub(crate) struct Window {
    opened: Moment,
    proxy: Proxy,
    machine: Machine,
}

#[derive(Debug)]
enum Proxy {
    None,
    Cpu(u32, Cpu),
    Calls(Count),
}

/// What went by in a [`Window`].
#[derive(Clone, Debug)]
pub(crate) struct Spent {
    /// How long the window was open.
    elapsed: Duration,
    /// What the proxy did: microseconds of CPU time, or calls under each head.
    proxy: Vec<(Metric, f64)>,
    /// The share of the machine's processors that processes not started by this benchmark took, 0 to 1.
    foreign: f64,
}

impl Spent {
    /// The figures of a window in which so many units of work were done; the latencies are in milliseconds.
    pub(crate) fn over(self, units: f64, mut latencies: Vec<f64>) -> Measurement {
        let mut figures = vec![(Metric::Rate, units / self.elapsed.as_secs_f64())];
        figures.extend(self.proxy.iter().map(|(metric, value)| (*metric, value / units)));
        if figures.iter().any(|(metric, _)| *metric == Metric::Calls) {
            // Counting slows the proxy down: its latency would be that of perf.
            latencies.clear();
        }
        latencies.sort_by(f64::total_cmp);
        for (metric, per_mille) in [(Metric::P50, 500), (Metric::P99, 990)] {
            figures.extend(latencies.get(latencies.len() * per_mille / 1000).map(|value| (metric, *value)));
        }
        Measurement { figures, foreign: self.foreign }
    }

    /// The figures of a window in which only this one was asked for.
    pub(crate) fn only(&self, metric: Metric, value: f64) -> Measurement {
        Measurement { figures: vec![(metric, value)], foreign: self.foreign }
    }
}

impl Window {
    /// Opens a window.
    pub(crate) fn open(watch: Watch) -> Result<Self> {
        let opened = Clock::boot().now();
        let proxy = match watch {
            Watch::Nothing => Proxy::None,
            Watch::Cpu(pid) => Proxy::Cpu(pid, Cpu::of_tree(pid)?),
            Watch::Calls(pid) => Proxy::Calls(Count::begin(pid)?),
        };
        Ok(Self { opened, proxy, machine: Machine::read()? })
    }

    /// What went by until now. The proxy is read first at both ends, so that the scan of the others cancels out.
    pub(crate) fn close(self) -> Result<Spent> {
        let elapsed = Clock::boot().now().since(self.opened);
        let proxy = match self.proxy {
            Proxy::None => Vec::new(),
            Proxy::Cpu(pid, before) => {
                vec![(Metric::Cpu, Cpu::of_tree(pid)?.since(&before).as_secs_f64() * 1e6)]
            }
            Proxy::Calls(count) => {
                let rates = count.end()?.into_iter();
                rates.map(|(metric, rate)| (metric, rate * elapsed.as_secs_f64())).collect()
            }
        };
        Ok(Spent { elapsed, proxy, foreign: Machine::read()?.foreign_since(&self.machine) })
    }
}

/// CPU time of a process tree, in the kernel's two figures for it.
#[derive(Debug)]
struct Cpu {
    /// utime + stime of the processes, exited threads included, in steps of a [`TICK`].
    coarse: Duration,
    /// The scheduler's own figure for each live thread, in nanoseconds.
    threads: BTreeMap<u32, u64>,
}

impl Cpu {
    fn of_tree(root: u32) -> Result<Self> {
        let mut coarse = Duration::ZERO;
        let mut threads = BTreeMap::new();
        for pid in tree(root)? {
            coarse += Stat::read(pid).ok_or_else(|| format!("process {pid} is gone"))?.own;
            for task in fs::read_dir(format!("/proc/{pid}/task"))? {
                let path = task?.path();
                let Some(tid) = number(path.file_name()) else { continue };
                if let Ok(text) = fs::read_to_string(path.join("schedstat")) {
                    let nanos = text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0);
                    threads.insert(tid, nanos);
                }
            }
        }
        Ok(Self { coarse, threads })
    }

    /// The fine figure, unless it lost what a thread that has ended in between did.
    fn since(&self, before: &Self) -> Duration {
        let nanos =
            self.threads.iter().map(|(tid, now)| now.saturating_sub(*before.threads.get(tid).unwrap_or(&0)));
        let fine = Duration::from_nanos(nanos.sum());
        let coarse = self.coarse.saturating_sub(before.coarse);
        if fine.abs_diff(coarse) <= 3 * TICK { fine } else { coarse }
    }
}

/// The CPU time of the whole machine, and of this benchmark with all it started.
#[derive(Debug)]
struct Machine {
    busy: Duration,
    total: Duration,
    ours: Duration,
}

impl Machine {
    fn read() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat")?;
        let ticks: Vec<u32> =
            text.lines().next().unwrap_or("").split_whitespace().skip(1).flat_map(str::parse).collect();
        // user nice system idle iowait irq softirq steal; guest time is in user already.
        let total: u32 = ticks.iter().take(8).sum();
        let idle: u32 = ticks.iter().skip(3).take(2).sum();
        let ours =
            tree(std::process::id())?.into_iter().filter_map(Stat::read).map(|stat| stat.own + stat.reaped);
        Ok(Self { busy: TICK * (total - idle), total: TICK * total, ours: ours.sum() })
    }

    fn foreign_since(&self, before: &Self) -> f64 {
        let busy = self.busy.saturating_sub(before.busy);
        let ours = self.ours.saturating_sub(before.ours);
        let total = self.total.saturating_sub(before.total).max(TICK);
        busy.saturating_sub(ours).as_secs_f64() / total.as_secs_f64()
    }
}

/// What `/proc/PID/stat` says of one process.
struct Stat {
    parent: u32,
    /// utime + stime.
    own: Duration,
    /// utime + stime of the children it has waited for.
    reaped: Duration,
}

impl Stat {
    /// None if there is no such process (any more).
    fn read(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in parentheses and may hold anything; after it come state, ppid, …
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok()).unwrap_or(0);
        Some(Self {
            parent: ticks(1),
            own: TICK * (ticks(11) + ticks(12)),
            reaped: TICK * (ticks(13) + ticks(14)),
        })
    }
}

/// The process and all that descend from it.
fn tree(root: u32) -> Result<BTreeSet<u32>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = number(Some(&entry?.file_name())) else { continue };
        if let Some(stat) = Stat::read(pid) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut found = BTreeSet::from([root]);
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        for &child in children.get(&pid).map_or(&[][..], Vec::as_slice) {
            if found.insert(child) {
                open.push(child);
            }
        }
    }
    Ok(found)
}

/// Resident memory of a process tree, in KiB.
pub(crate) fn resident_kib(root: u32) -> Result<u64> {
    let mut sum = 0;
    for pid in tree(root)? {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
        sum += kib.ok_or_else(|| format!("process {pid} tells no VmRSS"))?;
    }
    Ok(sum)
}

fn number(name: Option<&std::ffi::OsStr>) -> Option<u32> {
    name?.to_str()?.parse().ok()
}
