//! Which packets a socket with a filter lost for want of room: the kernel counts them together with those that the filter
//! refused.
//!
//! What the kernel counts for want of room is counted for all sockets of the network namespace. So it is an upper bound: this
//! shard's part of it is what neither other shards have claimed nor is more than its own sockets dropped, and nothing as long
//! as no queue of its own was full enough. All shards together never count more than was lost.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use crate::listener::Counters;

/// Where the kernel counts, and what: packets for which there was no room in the socket, or in what all sockets may take.
const COUNTS: [(&str, &[&str]); 2] = [
    ("/proc/thread-self/net/snmp", &["Udp:"]),
    ("/proc/thread-self/net/snmp6", &["Udp6RcvbufErrors", "Udp6MemErrors"]),
];
/// The columns of the first of them.
const COLUMNS: [&str; 2] = ["RcvbufErrors", "MemErrors"];
/// Octets of such a file at most; they have some two or six thousand.
const ROOM: usize = 16 << 10;

/// What was counted when it was looked at last.
#[derive(Debug, Default)]
pub struct Overflow {
    files: Vec<(File, &'static [&'static str])>,
    /// By the kernel for all sockets.
    errors: u64,
    /// By all shards.
    claimed: u64,
}

impl Overflow {
    /// From now on; so many packets were lost in this window `before`. Where the kernel does not say, nothing is found to be
    /// lost.
    pub fn begin(before: u64, counters: &Counters) -> Overflow {
        let open = |(path, names)| Some((File::open(path).ok()?, names));
        let mut overflow = Overflow { files: COUNTS.into_iter().filter_map(open).collect(), ..Overflow::default() };
        overflow.errors = overflow.read().saturating_sub(before);
        overflow.claimed = counters.udp_lost.load(Ordering::Relaxed);
        overflow
    }

    /// How many of `missing` packets there was no room for since the last look, and counts all of them. `crammed`: a queue was
    /// so full that there may have been some.
    pub fn count(&mut self, missing: u64, crammed: bool, counters: &Counters) -> u64 {
        let errors = self.read();
        let claimed = counters.udp_lost.load(Ordering::Relaxed);
        let by_others = claimed.saturating_sub(self.claimed);
        let lost = part(missing, errors.saturating_sub(self.errors), by_others, crammed);
        counters.note_dropped(lost, missing - lost);
        (self.errors, self.claimed) = (errors, claimed + lost);
        lost
    }

    fn read(&self) -> u64 {
        let mut text = [0; ROOM];
        let counted = self.files.iter().map(|(file, names)| {
            let read = file.read_at(&mut text, 0).unwrap_or(0);
            errors(str::from_utf8(&text[..read]).unwrap_or(""), names)
        });
        counted.sum()
    }
}

/// Of `missing` packets, where so many `errors` were counted and others have claimed some of them.
fn part(missing: u64, errors: u64, by_others: u64, crammed: bool) -> u64 {
    if crammed { missing.min(errors.saturating_sub(by_others)) } else { 0 }
}

/// The counts of these names, whether each has a line of its own or all are columns under a line of titles.
fn errors(text: &str, names: &[&str]) -> u64 {
    let number = |word: Option<&str>| word.and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
    let mut lines = text.lines();
    let mut sum = 0;
    while let Some(line) = lines.next() {
        let mut words = line.split_ascii_whitespace();
        if !words.next().is_some_and(|name| names.contains(&name)) {
            continue;
        }
        if !line.contains(':') {
            sum += number(words.next());
            continue;
        }
        let values = lines.next().unwrap_or("").split_ascii_whitespace().skip(1);
        sum += words
            .zip(values)
            .filter(|(title, _)| COLUMNS.contains(title))
            .map(|(_, value)| number(Some(value)))
            .sum::<u64>();
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

    use super::*;
    use crate::net::filter::{Thinned, thin_out};
    use crate::net::socket::{queue, udp_listener};

    #[test]
    fn both_files_are_read() {
        let snmp = "Tcp: RtoMin RcvbufErrors\nTcp: 200 9\nUdp: InDatagrams NoPorts RcvbufErrors InCsumErrors MemErrors\n\
                    Udp: 64596468 232292 3030019 5 2\nUdpLite: RcvbufErrors MemErrors\nUdpLite: 7 7\n";
        assert_eq!(errors(snmp, COUNTS[0].1), 3_030_021);
        assert_eq!(errors("Udp6InErrors  \t17\nUdp6RcvbufErrors  \t40\nUdp6MemErrors \t1\n", COUNTS[1].1), 41);
        for cut in ["", "Udp:", "Udp: RcvbufErrors", "Udp: RcvbufErrors\nUdp:", "Udp: RcvbufErrors\nUdp: x"] {
            assert_eq!(errors(cut, COUNTS[0].1), 0, "{cut}");
        }
    }

    #[test]
    fn shards_together_never_count_more_than_was_lost() {
        assert_eq!(part(100, 0, 0, true), 0, "all of it was filtered");
        assert_eq!(part(100, 40, 0, true), 40);
        assert_eq!(part(100, 40, 0, false), 0, "some other program's socket was full");
        assert_eq!(part(100, 40, 30, true), 10, "another shard's was full");
        assert_eq!(part(100, 40, 50, true), 0);
        assert_eq!(part(100, 400, 0, true), 100, "never more than is missing");
    }

    #[test]
    fn what_a_full_queue_drops_is_told_from_what_a_filter_drops() {
        let listener = udp_listener(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), false).expect("a port");
        // The smallest buffer there is takes some four of these.
        socket2::SockRef::from(&listener).set_recv_buffer_size(1).expect("a smaller buffer");
        let from = |last| UdpSocket::bind((Ipv4Addr::new(127, 9, 1, last), 0)).expect("an address of this machine");
        let (loud, other) = (from(1), from(2));
        let source = loud.local_addr().expect("bound").ip();
        thin_out(&listener, &[Thinned { source, part: 0.0, cookies: 0.0, spared: Vec::new() }]).expect("attached");
        let counters = Counters::default();
        let mut overflow = Overflow::begin(0, &counters);
        let target = listener.local_addr().expect("bound");
        let mut waiting = 0;
        for _ in 0..300 {
            loud.send_to(&[0; 512], target).expect("sent");
            other.send_to(&[0; 512], target).expect("sent");
        }
        while listener.recv(&mut [0; 512]).is_ok() {
            waiting += 1;
        }
        let missing = u64::from(queue(&listener).expect("the kernel says").dropped);
        assert_eq!(missing, 600 - waiting);
        let lost = overflow.count(missing, true, &counters);
        // Others on this machine may lose some at the same time.
        assert!((300 - waiting..=missing).contains(&lost), "{lost} of {missing}, {waiting} waited");
        let counted = |name| counters.snapshot().into_iter().find(|(known, _)| *known == name).map(|(_, count)| count);
        assert_eq!((counted("udp_lost"), counted("udp_filtered")), (Some(lost), Some(missing - lost)));
    }
}
