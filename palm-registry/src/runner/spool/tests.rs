use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;

use super::*;

fn printed(number: u64) -> Printed {
    let text = format!("line {number} {}", "x".repeat(200));
    Printed { component: format!("c{}", number % 2), copy: 0, stream: Stream::Out, at: number as i64, text }
}

fn numbers(batch: &Batch) -> Vec<u64> {
    let number = |line: &Line| line.text.split(' ').nth(1).unwrap().parse().unwrap();
    batch.lines.iter().filter(|line| line.stream == Stream::Out).map(number).collect()
}

#[test]
fn nobody_else_reads_or_writes_it() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("spool");
    let mut spool = Spool::open(&folder, SPOOL_MIN).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    spool.append((1..=200).map(printed)).unwrap();
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 3 && files.iter().all(|file| mode(file) == 0o600), "{files:?}");
    drop(spool);
    // One that an earlier version has left open to all.
    fs::set_permissions(folder.join("1.lines"), fs::Permissions::from_mode(0o644)).unwrap();
    drop(Spool::open(&folder, SPOOL_MIN).unwrap());
    assert_eq!(mode(&folder.join("1.lines")), 0o600);
    // What is written next may lie there already, as a link to what matters.
    let precious = place.path().join("precious");
    for name in ["lock", "state", "state.new", "1.lines"] {
        fs::write(&precious, "kept").unwrap();
        let planted = place.path().join(name);
        fs::create_dir(&planted).unwrap();
        std::os::unix::fs::symlink(&precious, planted.join(name)).unwrap();
        let opened = Spool::open(&planted, SPOOL_MIN);
        assert_eq!(opened.is_ok(), name == "state.new", "{name}");
        drop(opened);
        assert_eq!(fs::read_to_string(&precious).unwrap(), "kept", "{name}");
    }
}

#[test]
fn what_is_not_sent_outlasts_the_runner() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
    assert!(Spool::open(folder.path(), 1 << 20).is_err(), "somebody has it");
    spool.append((1..=3).map(printed)).unwrap();
    let batch = spool.batch().unwrap();
    assert_eq!((numbers(&batch), spool.batch().unwrap() == batch), (vec![1, 2, 3], true));
    spool.sent(&batch).unwrap();
    assert!(spool.is_empty() && spool.batch().unwrap().lines.is_empty());
    spool.append((4..=5).map(printed)).unwrap();
    let id = spool.id();
    drop(spool);
    // It was killed while it wrote.
    let segment = folder.path().join("1.lines");
    OpenOptions::new().append(true).open(segment).unwrap().write_all(b"{\"seq\":6,\"comp").unwrap();
    let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
    assert_eq!(spool.id(), id);
    spool.append([printed(6)]).unwrap();
    let batch = spool.batch().unwrap();
    assert_eq!(numbers(&batch), [4, 5, 6]);
    assert_eq!(batch.lines.iter().map(|line| line.seq).collect::<Vec<_>>(), [4, 5, 6]);
}

#[test]
fn at_the_bound_the_oldest_go_and_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), SPOOL_MIN).unwrap();
    for number in 1..=2000 {
        spool.append([printed(number)]).unwrap();
    }
    drop(spool);
    let mut spool = Spool::open(folder.path(), SPOOL_MIN).unwrap();
    let mut kept = Vec::new();
    let first = spool.batch().unwrap();
    let told: Vec<_> = first.lines.iter().filter(|line| line.stream == Stream::Runner).collect();
    let said: u64 = told.iter().map(|line| line.text.split(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(told.len(), 2, "one for each process");
    assert!(first.lines.windows(2).all(|two| two[0].seq < two[1].seq));
    while !spool.is_empty() {
        let batch = spool.batch().unwrap();
        kept.extend(numbers(&batch));
        spool.sent(&batch).unwrap();
    }
    assert_eq!(kept, (said + 1..=2000).collect::<Vec<_>>());
    assert!(fs::read_dir(folder.path()).unwrap().count() < 6, "what is sent takes no room");
}

#[test]
fn a_batch_that_arrives_after_it_was_thrown_away_is_not_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), SPOOL_MIN).unwrap();
    spool.append((1..=10).map(printed)).unwrap();
    let batch = spool.batch().unwrap();
    for number in 11..=1000 {
        spool.append([printed(number)]).unwrap();
    }
    spool.sent(&batch).unwrap();
    let next = spool.batch().unwrap();
    assert!(numbers(&next)[0] > 10 && next.lines[0].stream == Stream::Runner);
}

#[test]
#[cfg(target_os = "linux")]
fn what_a_full_disk_has_no_room_for_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
    spool.append((1..=3).map(printed)).unwrap();
    let full = OpenOptions::new().append(true).open("/dev/full").unwrap();
    let file = std::mem::replace(&mut spool.file, full);
    spool.append((4..=6).map(printed)).unwrap_err();
    spool.append([printed(7)]).unwrap_err();
    spool.file = file;
    spool.append([printed(8)]).unwrap();
    let batch = spool.batch().unwrap();
    assert_eq!(numbers(&batch), [1, 2, 3, 8]);
    let texts: Vec<_> = batch.lines.iter().map(|line| (line.seq, line.text.split(" before").next().unwrap())).collect();
    assert_eq!(texts[3..5], [(4, "2 lines"), (5, "2 lines")]);
    spool.sent(&batch).unwrap();
    assert!(spool.is_empty(), "nobody waits for what is lost");
}

#[test]
fn what_is_sent_makes_room_on_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
    spool.append((1..=3).map(printed)).unwrap();
    spool.make_room().unwrap();
    let batch = spool.batch().unwrap();
    assert_eq!(numbers(&batch), [1, 2, 3], "what is not sent stays");
    spool.sent(&batch).unwrap();
    spool.make_room().unwrap();
    assert_eq!(fs::metadata(folder.path().join("1.lines")).unwrap().len(), 0);
    drop(spool);
    let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
    spool.append([printed(4)]).unwrap();
    assert_eq!(spool.batch().unwrap().lines.iter().map(|line| line.seq).collect::<Vec<_>>(), [4]);
}

proptest! {
    #[test]
    fn all_come_once_and_in_order(steps in prop::collection::vec(0..3_u8, 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
        let (mut next, mut arrived) = (1, Vec::new());
        for step in steps.into_iter().chain([1]) {
            match step {
                0 => {
                    spool.append((next..next + 40).map(printed)).unwrap();
                    next += 40;
                }
                1 => {
                    let batch = spool.batch().unwrap();
                    arrived.extend(numbers(&batch));
                    spool.sent(&batch).unwrap();
                }
                _ => {
                    drop(spool);
                    spool = Spool::open(folder.path(), 1 << 20).unwrap();
                }
            }
        }
        prop_assert_eq!(arrived, (1..next).collect::<Vec<_>>());
    }
}
