//! Processor time and memory of process groups, from `/proc`; nothing where there is none.

use std::collections::HashMap;
use std::fs;

use crate::process::is_proc_ours;

/// What a process group uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// Of its processes and of those of their children that have ended.
    pub(super) cpu_seconds: f64,
    /// Resident.
    pub(super) memory_bytes: u64,
}

/// What each process group uses, by its leader.
pub(super) fn by_group() -> HashMap<u32, Usage> {
    let (ticks, page) = (rustix::param::clock_ticks_per_second(), rustix::param::page_size());
    let mut groups = HashMap::new();
    let Ok(entries) = fs::read_dir("/proc") else { return groups };
    if !is_proc_ours() {
        return groups;
    }
    for entry in entries.flatten() {
        let is_process = entry.file_name().to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        if !is_process {
            continue;
        }
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some(process) = Stat::parse(&stat) else { continue };
        let usage: &mut Usage = groups.entry(process.group).or_default();
        #[expect(clippy::cast_precision_loss, reason = "a process does not run for 2^52 ticks")]
        let seconds = process.ticks as f64 / ticks as f64;
        usage.cpu_seconds += seconds;
        usage.memory_bytes += process.pages * page as u64;
    }
    groups
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    group: u32,
    ticks: u64,
    pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // A program's name may have anything in it.
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        let ticks = [11, 12, 13, 14].into_iter().filter_map(number).sum();
        Some(Self { group: u32::try_from(number(2)?).ok()?, ticks, pages: number(21)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_is_read() {
        let line = "42 (a) b (c)) S 1 40 40 0 -1 4194560 100 200 0 0 7 3 20 10 20 0 1 0 100 1000000 256 184467 1 1";
        assert_eq!(Stat::parse(line), Some(Stat { group: 40, ticks: 40, pages: 256 }));
        assert_eq!(Stat::parse("42 (a) S"), None);
    }
}
