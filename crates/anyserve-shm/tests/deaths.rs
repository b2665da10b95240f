//! Processes that write to a segment and are killed at any moment: nothing of it is left with its owner.
//!
//! A test program of its own, as it counts what its process has open.
#![cfg(not(miri))]
#![expect(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyserve_shm::{Access, Budget, QUANTUM, Segment, Slot, SlotMut, Views, Window};

const LIMIT: u64 = 16 << 20;
const CHILD: &str = "ANYSERVE_SHM_CHILD";
const LASTS: Duration = Duration::from_secs(4);
/// At least so many are killed.
const ENOUGH: u32 = 20;

/// A process that fills the places it is told of.
struct Writer {
    process: Child,
    told: ChildStdin,
    heard: Lines<BufReader<ChildStdout>>,
    /// What it may be writing to right now, and by which number.
    places: Vec<(u64, SlotMut)>,
}

/// Numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn fill(bytes: &mut [u8], number: u64) {
    for (byte, at) in bytes.iter_mut().zip(0_u64..) {
        *byte = expected(number, at);
    }
}

fn expected(number: u64, at: u64) -> u8 {
    (number.wrapping_mul(151) ^ (at / 17)).to_le_bytes()[0]
}

fn is_filled(bytes: &[u8], number: u64) -> bool {
    bytes.iter().zip(0_u64..).step_by(1021).all(|(&byte, at)| byte == expected(number, at))
}

impl Writer {
    fn start(segment: &Segment) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_process_that_writes", "--nocapture"])
            .env(CHILD, format!("{} {}", segment.path(), segment.size()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (told, heard) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Self { process, told, heard: BufReader::new(heard).lines(), places: Vec::new() }
    }

    /// Tells it to fill a place.
    fn give(&mut self, number: u64, slot: SlotMut) {
        writeln!(self.told, "{number} {} {}", slot.offset(), slot.len()).unwrap();
        self.places.push((number, slot));
    }

    /// Waits until it has filled one; that does not change any more.
    fn done(&mut self) -> (u64, Slot) {
        let done = self.heard.find_map(|line| line.unwrap().strip_prefix("done ").map(str::to_owned));
        let number: u64 = done.expect("it lives").parse().unwrap();
        let place = self.places.iter().position(|&(given, _)| given == number).unwrap();
        let (_, slot) = self.places.swap_remove(place);
        (number, slot.freeze())
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Not a test, but what is killed.
#[test]
fn the_process_that_writes() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let (path, size) = told.rsplit_once(' ').unwrap();
    let window = Window::open(path, size.parse().unwrap(), Access::Write).unwrap();
    let views = Views::new(|_, _| ());
    for line in std::io::stdin().lines() {
        let numbers: Vec<u64> = line.unwrap().split(' ').map(|number| number.parse().unwrap()).collect();
        let &[number, offset, length] = numbers.as_slice() else { panic!("{numbers:?}") };
        let mut view = views.view_mut(&window, offset, length, number).unwrap();
        fill(&mut view, number);
        // The line of the test's name has no end yet.
        println!("\ndone {number}");
    }
}

#[test]
fn nothing_is_left_of_processes_that_are_killed() {
    if std::env::var_os(CHILD).is_some() {
        return;
    }
    let before = (open_files(), shared_memory(), mapped());
    let seed = SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos().into();
    println!("seed {seed}");
    let killed = kill_for_a_while(&mut Numbers(seed));
    println!("{killed} were killed");
    assert_eq!((open_files(), shared_memory(), mapped()), before);
}

/// Returns how many processes were killed.
fn kill_for_a_while(numbers: &mut Numbers) -> u32 {
    let budget = Budget::new(LIMIT, || ());
    let segment = Segment::create(&budget, false).unwrap();
    let (start, mut killed, mut next) = (Instant::now(), 0, 0);
    let mut kept: Vec<(u64, Slot)> = Vec::new();
    let mut writers: Vec<_> = (0..3).map(|_| Writer::start(&segment)).collect();
    // On a busy machine it takes longer.
    while start.elapsed() < LASTS || killed < ENOUGH {
        let mut writer = writers.remove(0);
        for _ in 0..numbers.below(6) {
            // As much as there is; the rest another time.
            let length = usize::try_from(numbers.below(2 << 20)).unwrap();
            if let Ok(slot) = segment.allocate(length) {
                next += 1;
                writer.give(next, slot);
            }
        }
        while writer.places.len() > 3 {
            kept.push(writer.done());
        }
        std::thread::sleep(Duration::from_micros(numbers.below(4000)));
        writer.kill();
        killed += 1;
        writers.push(Writer::start(&segment));
        while kept.len() > 4 {
            let index = usize::try_from(numbers.below(kept.len() as u64)).unwrap();
            let (number, slot) = kept.swap_remove(index);
            assert!(is_filled(slot.as_ref(), number), "a dead process has left something in {number}");
        }
        check(&segment, &kept, &writers);
    }
    writers.into_iter().for_each(Writer::kill);
    assert!(kept.iter().all(|(number, slot)| is_filled(slot.as_ref(), *number)));
    kept.clear();
    assert_eq!(budget.used(), 0);
    drop(segment.allocate(usize::try_from(segment.account().limit()).unwrap()).unwrap());
    segment.trim().unwrap();
    assert_eq!(segment.present(), 0);
    killed
}

/// All that nobody holds can be had, and nothing else.
fn check(segment: &Segment, kept: &[(u64, Slot)], writers: &[Writer]) {
    let rounded = |length: usize| (length as u64).max(1).next_multiple_of(QUANTUM);
    let kept = kept.iter().map(|(_, slot)| (slot.offset(), rounded(slot.as_ref().len())));
    let given = writers.iter().flat_map(|writer| &writer.places);
    let given = given.map(|(_, slot)| (slot.offset(), rounded(slot.len())));
    let mut taken: Vec<_> = kept.chain(given).collect();
    assert_eq!(taken.iter().map(|(_, length)| length).sum::<u64>(), segment.account().used());
    let mut rest = Vec::new();
    for length in [1 << 20, 1 << 16, 1 << 12] {
        rest.extend(std::iter::from_fn(|| segment.allocate(length).ok()));
    }
    taken.extend(rest.iter().map(|slot| (slot.offset(), rounded(slot.len()))));
    taken.sort_unstable();
    assert!(taken.windows(2).all(|two| two[0].0 + two[0].1 <= two[1].0), "two slots overlap");
    assert_eq!(taken.iter().map(|(_, length)| length).sum::<u64>(), segment.account().limit());
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Others may use it meanwhile; of ours there is never anything in it.
fn shared_memory() -> usize {
    let entries = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().contains("anyserve")).count()
}

fn mapped() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().matches("memfd:anyserve").count()
}
