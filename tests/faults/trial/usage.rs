//! What a process uses, as Linux reports it.

use std::fs;

use test_support::wait_for;

#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub threads: u64,
    pub descriptors: u64,
    pub memory_kb: u64,
}

impl Usage {
    pub fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))
            .expect("these tests read /proc, which Linux has: run them there, or in a container");
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|it| it.split_whitespace().next()?.parse().ok()).unwrap_or_default()
        };
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64;
        Self { threads: number("Threads:"), descriptors, memory_kb: number("VmRSS:") }
    }

    /// No threads, descriptors or memory have accumulated since.
    pub fn assert_regained(self, pid: u32) {
        // The threads that read files come and go with their use.
        const SPARE: u64 = 12;
        const SPARE_KB: u64 = 48 << 10;
        wait_for("threads, descriptors and memory to be as before", || {
            let now = Self::of(pid);
            now.threads <= self.threads + SPARE
                && now.descriptors <= self.descriptors + SPARE
                && now.memory_kb <= self.memory_kb + SPARE_KB
        });
    }
}
