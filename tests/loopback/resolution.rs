//! The small Internet, resolved over real sockets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use maeslant::config::Settings;
use maeslant::daemon::{self, Handle};
use maeslant::dnssec::Anchors;
use maeslant::lab::{Fault, Options, World, catalogue};

use super::client::{ask, connect, hear, query, say, udp};

const A: u16 = 1;

fn world() -> World {
    World::start(&Options { port: 0, sites: 20, seed: 1 }).expect("a world")
}

/// A server in front of `world`.
fn serve(world: &World, listen: &[SocketAddr], workers: usize) -> Handle {
    let mut settings = Settings { workers, ..Settings::default() };
    settings.listener.listen = listen.to_vec();
    settings.engine.resolve.root_hints = world.root_hints();
    settings.engine.resolve.server_port = world.port();
    settings.engine.resolve.do_not_query = Vec::new();
    settings.engine.resolve.dnssec.anchors = Anchors::default();
    daemon::start(settings).expect("a server")
}

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

#[test]
fn every_question_has_its_outcome() {
    let world = world();
    let server = serve(&world, &[loopback()], 2);
    let address = server.addresses()[0];
    let questions = catalogue().expect("a catalogue");
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                while let Some(question) = questions.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let response = ask(address, 1, &question.name, question.rtype);
                    // Of a server that loses packets by chance nothing is promised.
                    let sure = question.note.is_none() && !question.name.ends_with("lossy.com.");
                    if sure && !question.expected.is_met(response.rcode, response.answers) {
                        let told = format!("{} {}", question.name, question.type_name());
                        wrong
                            .lock()
                            .expect("the list")
                            .push(format!("{told}: {:?}, not {response:?}", question.expected));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("the list");
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), questions.len());
    server.shutdown().expect("a good end");
}

#[test]
fn the_reply_comes_from_the_address_that_was_asked() {
    let world = world();
    let any = [SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))];
    let server = serve(&world, &any, 2);
    let port = server.addresses()[0].port();
    for last in [1, 2, 77] {
        // The client hears only what comes from there.
        let there = SocketAddr::from(([127, 0, 0, last], port));
        assert_eq!(ask(there, 1, "www.ordinary.com.", A).rcode, 0);
    }
    let there = SocketAddr::from((Ipv6Addr::LOCALHOST, server.addresses()[1].port()));
    assert_eq!(ask(there, 1, "www.ordinary.com.", A).rcode, 0);
    server.shutdown().expect("a good end");
}

#[test]
fn questions_that_come_at_once_have_each_its_own_answer() {
    let world = world();
    let server = serve(&world, &[loopback()], 1);
    let address = server.addresses()[0];
    let names = ["www.ordinary.com.", "mail.ordinary.net.", "localhost.", "www.ordinary.net."];
    let answers = names.map(|name| ask(address, 1, name, A).answers);
    let client = udp(IpAddr::V4(Ipv4Addr::LOCALHOST), address);
    for round in 0..3 {
        let packets: Vec<Vec<u8>> = (0..150u16).map(|id| query(id, names[usize::from(id / 3) % 4], A)).collect();
        packets.iter().for_each(|packet| assert_eq!(client.send(packet).expect("sent"), packet.len()));
        let mut room = [0; 1232];
        let mut heard = std::collections::HashSet::new();
        for _ in &packets {
            let length = client.recv(&mut room).expect("an answer in time");
            let id = u16::from_be_bytes([room[0], room[1]]);
            assert!(heard.insert(id), "{id} is answered twice in round {round}");
            let asked = &packets[usize::from(id)];
            let question = 12..asked.len() - 11;
            assert_eq!(room[..length].get(question.clone()), Some(&asked[question]), "{id} in round {round}");
            let count = u16::from_be_bytes([room[6], room[7]]);
            assert_eq!((room[3] & 15, count), (0, answers[usize::from(id / 3) % 4]), "{id} in round {round}");
        }
    }
    server.shutdown().expect("a good end");
}

#[test]
fn a_slow_answer_does_not_hold_up_a_fast_one_on_the_same_connection() {
    let world = world();
    assert!(world.fault_zone("ordinary.net.", Some(Fault::delay(Duration::from_secs(1)))));
    let server = serve(&world, &[loopback()], 1);
    let mut stream = connect(server.addresses()[0]);
    say(&mut stream, &query(1, "www.ordinary.net.", A));
    say(&mut stream, &query(2, "www.ordinary.com.", A));
    say(&mut stream, &query(3, "localhost.", A));
    let heard = [hear(&mut stream).id, hear(&mut stream).id, hear(&mut stream).id];
    assert_eq!(heard, [3, 2, 1]);
    server.shutdown().expect("a good end");
}

#[test]
fn ending_lets_clients_have_the_answers_under_way() {
    let world = world();
    assert!(world.fault_zone("ordinary.net.", Some(Fault::delay(Duration::from_millis(500)))));
    let server = serve(&world, &[loopback()], 2);
    let address = server.addresses()[0];
    let (client, mut stream) = (udp(IpAddr::V4(Ipv4Addr::LOCALHOST), address), connect(address));
    client.send(&query(1, "www.ordinary.net.", A)).expect("sent");
    say(&mut stream, &query(2, "mail.ordinary.net.", A));
    // Both are on their way once the slow servers have been asked; then it is told to end.
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    let asked = |world: &World| {
        world
            .counts()
            .iter()
            .filter(|server| server.name.contains("hosting"))
            .map(|server| server.counts.udp)
            .sum::<u64>()
    };
    while asked(&world) < 2 && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
    server.shutdown().expect("a good end");
    assert!(client.recv(&mut [0; 512]).is_ok());
    assert_eq!(hear(&mut stream).id, 2);
}
