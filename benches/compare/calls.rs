//! How many system calls a proxy makes, counted by `perf stat` from the kernel's tracepoints.
//!
//! Counting costs the proxy time of its own, so CPU time is not taken in the same run.

use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal};

use crate::Result;
use crate::scenario::Metric;

/// Which calls go under which head; the first head is for all of them.
const HEADS: [(Metric, &[&str]); 5] = [
    (Metric::Calls, &["raw_syscalls:sys_enter"]),
    (
        Metric::Sends,
        &[
            "syscalls:sys_enter_sendto",
            "syscalls:sys_enter_sendmsg",
            "syscalls:sys_enter_write",
            "syscalls:sys_enter_writev",
        ],
    ),
    (
        Metric::Receives,
        &[
            "syscalls:sys_enter_recvfrom",
            "syscalls:sys_enter_recvmsg",
            "syscalls:sys_enter_read",
            "syscalls:sys_enter_readv",
        ],
    ),
    (Metric::Waits, &["syscalls:sys_enter_epoll_wait", "syscalls:sys_enter_epoll_pwait"]),
    (Metric::Futexes, &["syscalls:sys_enter_futex"]),
];

/// A count that is going on.
#[derive(Debug)]
pub(crate) struct Count {
    perf: Child,
}

impl Count {
    /// Begins counting the calls of a process.
    pub(crate) fn begin(pid: u32) -> Result<Self> {
        let events: Vec<&str> = HEADS.iter().flat_map(|(_, events)| *events).copied().collect();
        let mut command = Command::new("perf");
        command.args(["stat", "--event", &events.join(","), "--pid", &pid.to_string()]).env("LC_ALL", "C");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let perf = command.spawn().map_err(|error| format!("cannot run perf: {error}"))?;
        Ok(Self { perf })
    }

    /// Ends it, and says how many calls there were a second.
    pub(crate) fn end(self) -> Result<Vec<(Metric, f64)>> {
        let pid =
            i32::try_from(self.perf.id()).ok().and_then(Pid::from_raw).ok_or("perf has no process id")?;
        rustix::process::kill_process(pid, Signal::INT)?;
        let output = self.perf.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        let seconds = find(&text, "seconds").ok_or_else(|| format!("perf stat: {}", text.trim()))?;
        let count = |events: &[&str]| events.iter().filter_map(|event| find(&text, event)).sum::<f64>();
        Ok(HEADS.iter().map(|(metric, events)| (*metric, count(events) / seconds)).collect())
    }
}

/// The number in a line `1,234  name …`.
fn find(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let number = words.next()?.replace(',', "").parse().ok()?;
        (words.next()? == name).then_some(number)
    })
}
