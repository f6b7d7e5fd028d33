//! `maeslant load run --record`: what a scenario asks, as a record that other programs read.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use maeslant::load::capture::{Format, Message, Writer};
use maeslant::load::feed::{Due, Feed};
use maeslant::load::{Popular, Scenario};

/// The first port that clients are written with; each stream has its own.
const CLIENT_PORT: u16 = 40_000;

/// The questions of a stream, the next one written already.
struct Stream {
    feed: Feed,
    next: Option<Due>,
    packet: Vec<u8>,
}

/// The format of a record, by its name's ending.
///
/// # Errors
/// It is no format's.
pub fn format(path: &Path) -> Result<Format, String> {
    Format::of(path).ok_or("expected .pcap, .pcapng, .dnstap or .txt".to_owned())
}

/// Writes what was due before `end`, from a clock that began at `started`: the same seed draws the same questions again.
///
/// # Errors
/// The file has an ending that is no format's, or cannot be written.
pub fn write(
    path: &Path,
    scenario: &Scenario,
    popular: &[Popular],
    target: SocketAddr,
    started: Duration,
    end: Duration,
) -> Result<u64, String> {
    let format = format(path)?;
    let mut streams: Vec<Stream> = Vec::new();
    for stream in &scenario.streams {
        let mut feed = Feed::generated(stream, scenario.duration, scenario.seed, popular, target.ip());
        let mut packet = Vec::new();
        let next = feed.next(&mut packet);
        streams.push(Stream { feed, next, packet });
    }
    let mut out = Writer::create(path, format).map_err(|error| error.to_string())?;
    for number in 1..=scenario.most {
        let first = streams.iter_mut().enumerate().min_by_key(|(_, s)| s.next.map_or(Duration::MAX, |due| due.at));
        let Some((index, stream)) = first else { break };
        let Some(due) = stream.next.filter(|due| due.at < end) else { break };
        let ip = due.source.unwrap_or_else(|| local(target.ip()));
        let mut packet = stream.packet.clone();
        if let Some(id @ [0, 0]) = packet.get_mut(..2) {
            // Told apart by number; the run gave each the first ID that was free.
            id.copy_from_slice(&(number as u16).to_be_bytes());
        }
        let client = Some(SocketAddr::new(ip, CLIENT_PORT + index as u16));
        let message = Message { at: started + due.at, client, server: Some(target), tcp: due.tcp, packet };
        out.write(&message).map_err(|error| error.to_string())?;
        stream.next = stream.feed.next(&mut stream.packet);
    }
    let left_out = out.left_out;
    out.finish().map_err(|error| error.to_string())?;
    Ok(left_out)
}

/// Whom the system sends as where a stream has no sources: for a target here, the target's own address.
fn local(target: IpAddr) -> IpAddr {
    match target {
        IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
    }
}
