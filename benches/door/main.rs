//! What the door costs a query, in nanoseconds, when it comes and when its answer goes: `cargo bench --bench door`. One line a
//! case, queries read in groups as a shard reads them; the goal is 100 ns for all prefix levels of a family. With a part of
//! their names behind `--` only those cases are measured.

use std::hint::black_box;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use maeslant::admission::{Asking, Books, CookieReply, Departing, Door, End, Level, Policy, Pressure, Sizes, Verdict};
use maeslant::clock::{Moment, Now, UnixTime};
use maeslant::wire::Rtype;

const NAME: &[u8] = b"\x03www\x07example\x03com\0";
/// Queries in a batch, which share one reading of the clock.
const BATCH: u32 = 64;
/// Queries that are read before the first of them is judged, as a shard does.
const READ: usize = 16;
/// Queries in a run: short, so that some runs are not interrupted by whatever else the machine does.
const QUERIES: u32 = 1 << 14;
const RUNS: u32 = 128;
/// Queries whose senders are known beforehand: those of ten thousand clients, with those that are asked by several.
const ACQUAINTED: u32 = 1 << 17;

/// Whether a case was asked for.
fn wanted(case: &str) -> bool {
    let mut parts = std::env::args().skip(1).filter(|part| !part.starts_with("--")).peekable();
    parts.peek().is_none() || parts.any(|part| case.contains(&part))
}

fn now(nanos: u64) -> Now {
    let mono = Moment::from_nanos(3_600_000_000_000 + nanos);
    Now { mono, age: mono, unix: UnixTime(1_750_000_000) }
}

fn door(books: &Books, level: Level) -> Door {
    let everybody: Vec<IpNet> = ["0.0.0.0/0", "::/0"].iter().filter_map(|text| text.parse().ok()).collect();
    let mut door = Door::beside(&Policy { allow: everybody, ..Policy::default() }, books);
    let dropped = [0.0, 0.001, 0.05, 0.9][level as usize];
    door.feel(now(0).mono, &Pressure { dropped, ..Pressure::default() });
    door
}

/// Judges queries from the addresses that `from` makes of numbers, one each `gap` from `clock` on; the best of all runs.
fn measure(case: &str, clock: &mut u64, door: &mut Door, gap: Duration, cookie: bool, from: impl Fn(u32) -> IpAddr) {
    if !wanted(case) {
        return;
    }
    let served = !case.contains("refused");
    if !case.contains("forged") {
        // Customers are no strangers: they have come by TCP, not all at once, of which a network of IPv6 would have no more
        // known. What that costs them is paid before they ask.
        for n in 0..ACQUAINTED {
            *clock += 2_000_000;
            assert!(door.accept(now(*clock).mono, from(n), Level::Open));
        }
        *clock += 300_000_000_000;
    }
    let gap = u64::try_from(gap.as_nanos()).unwrap_or(u64::MAX);
    let (mut best, mut admitted_count) = (f64::MAX, 0u64);
    let asking = Asking { address: from(0), stream: false, cookie: Some(&[7; 8]), name: NAME };
    let known = match door.judge(now(*clock), &asking) {
        (_, CookieReply::Give(cookie)) => cookie,
        _ => [0; 24],
    };
    for run in 0..RUNS {
        let start = Instant::now();
        for batch in 0..QUERIES / BATCH {
            *clock += gap * u64::from(BATCH);
            let now = now(*clock);
            for read in (0..BATCH).step_by(READ) {
                let first = run * QUERIES + batch * BATCH + read;
                let addresses: [IpAddr; READ] = std::array::from_fn(|at| from(first + at as u32));
                let mut origins = addresses.map(|address| door.expect(address));
                origins.iter_mut().for_each(|origin| door.find_out(origin));
                for (address, origin) in addresses.into_iter().zip(&origins) {
                    let cookie = cookie.then_some(&known[..]);
                    let asking = Asking { address, stream: false, cookie, name: NAME };
                    // As far as its answer from the cache, 32 octets longer than the question.
                    let packet = Departing { name: NAME, received: 33, sent: 65, from_cache: true };
                    if let Some(leave) = door.take_pass(now.mono, origin, &asking) {
                        admitted_count += 1;
                        black_box(door.part_with_leave(now.mono, origin, leave, &packet));
                    } else if let (Verdict::Admitted(admitted), _) = door.judge_from(now, origin, &asking) {
                        admitted_count += 1;
                        black_box(door.part(now.mono, &admitted, &packet));
                    }
                }
            }
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(QUERIES));
    }
    println!("{case:<56} {best:6.1} ns");
    let part = admitted_count as f64 / f64::from(QUERIES * RUNS);
    assert!(if served { part == 1.0 } else { part < 0.5 }, "{part} of them were admitted");
}

/// Takes names never seen through the accounts of their zones, one every 100 µs; `there`: they exist.
fn miss(case: &str, books: &Books, zones: u32, there: bool) {
    if !wanted(case) {
        return;
    }
    let mut door = door(books, Level::Open);
    let mut clock = 0;
    let mut best = f64::MAX;
    for run in 0..RUNS {
        let start = Instant::now();
        for query in 0..QUERIES {
            clock += 100_000;
            let (now, number) = (now(clock), run * QUERIES + query);
            let address = IpAddr::from((0x0a00_0000 | (number % 10_000)).to_be_bytes());
            let asking = Asking { address, stream: false, cookie: None, name: NAME };
            let (Verdict::Admitted(admitted), _) = door.judge(now, &asking) else { continue };
            let mut name = *b"\x08--------\x08zone----\x03com\0";
            name[1..9].copy_from_slice(format!("{number:08x}").as_bytes());
            name[14..18].copy_from_slice(format!("{:04x}", number % zones).as_bytes());
            if let Ok(ticket) = black_box(door.ask_zone(now.mono, &admitted, &name, Rtype::A)) {
                books.zones().begin(&ticket);
                let end = if there { End::Found } else { End::Absent(None) };
                door.end(now.mono, &ticket, &name, end, std::iter::once(&admitted));
            }
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(QUERIES));
    }
    println!("{case:<56} {best:6.1} ns");
}

fn main() {
    let v4 = |spread: u32| {
        move |n: u32| IpAddr::from((0x0a00_0000 | (n.wrapping_mul(2_654_435_761) % spread)).to_be_bytes())
    };
    // Each customer has a /56 of his own.
    let v6 = |spread: u32| {
        move |n: u32| {
            let host = u128::from(n.wrapping_mul(2_654_435_761) % spread);
            IpAddr::from(((0x2001_0db8_u128 << 96) | (host << 72) | 1).to_be_bytes())
        }
    };
    let slow = Duration::from_micros(100);
    // It never goes back: what was charged in one case would be ahead in the next.
    let mut clock = 0;
    let books = Books::new(&Sizes::default(), &[1; 32]);
    for (level, text) in [(Level::Open, "open"), (Level::Guard, "guard")] {
        let mut door = door(&books, level);
        measure(&format!("{text}: one IPv4 client, 4 levels"), &mut clock, &mut door, slow * 10, false, v4(1));
        measure(&format!("{text}: 10,000 IPv4 clients, 4 levels"), &mut clock, &mut door, slow, false, v4(10_000));
        measure(&format!("{text}: 10,000 IPv6 clients, 5 levels"), &mut clock, &mut door, slow, false, v6(10_000));
    }
    let mut open = door(&books, Level::Open);
    measure("open: 10,000,000 forged IPv4 sources", &mut clock, &mut open, slow / 50, false, v4(10_000_000));
    let mut guard = door(&books, Level::Guard);
    measure("guard: one IPv4 client with a valid cookie", &mut clock, &mut guard, slow * 10, true, v4(1));
    measure(
        "guard: one IPv4 client far beyond its share: refused",
        &mut clock,
        &mut guard,
        Duration::from_nanos(500),
        false,
        v4(1),
    );
    let mut closed = door(&books, Level::Closed);
    measure("closed: forged strangers: refused", &mut clock, &mut closed, slow / 50, false, v4(10_000_000));
    miss("a name never seen, through the accounts and back", &Books::new(&Sizes::default(), &[2; 32]), 10_000, true);
    miss("a random name of a flooded zone, mostly refused", &Books::new(&Sizes::default(), &[3; 32]), 1, false);
}
