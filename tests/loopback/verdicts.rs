//! The small Internet, validated over real sockets: every name and type of it, in signed, unsigned and broken zones.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use maeslant::config::Settings;
use maeslant::daemon;
use maeslant::dnssec::Anchors;
use maeslant::lab::{Checked, Options, Question, World, catalogue};

use super::client::PATIENCE;
use crate::peers::programs::wire::{Answer, Over, Type, Wishes, ask_with};

/// Asks with DO.
fn ask(server: SocketAddr, question: &Question) -> Answer {
    let wishes = Wishes { dnssec_ok: true, checking_disabled: false };
    let asked = (question.name.as_str(), Type(question.rtype));
    ask_with(server, asked, wishes, Over::Udp, PATIENCE)
        .unwrap_or_else(|error| panic!("no response for {} {}: {error}", question.name, question.type_name()))
}

/// What is wrong with a verdict.
fn wrong(question: &Question, response: &Answer) -> Option<String> {
    let answers = u16::try_from(response.records.len()).unwrap_or(u16::MAX);
    let met = question.expected_checked().is_met(response.rcode, answers);
    let verdict = match question.checked {
        Checked::Secure => response.authentic && response.errors.is_empty(),
        Checked::Insecure => !response.authentic,
        Checked::Bogus(error) => !response.authentic && response.errors == [error],
    };
    (!met || !verdict).then(|| {
        let told = format!("{} {}", question.name, question.type_name());
        format!("{told}: {response} {:?}, not {:?}", response.errors, question.checked)
    })
}

#[test]
fn every_question_has_its_verdict() {
    let world = World::start(&Options { port: 0, sites: 20, seed: 1 }).expect("a world");
    let mut settings = Settings { workers: 2, ..Settings::default() };
    settings.listener.listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
    settings.engine.resolve.root_hints = world.root_hints();
    settings.engine.resolve.server_port = world.port();
    settings.engine.resolve.do_not_query = Vec::new();
    settings.engine.resolve.dnssec.anchors = Anchors::parse(world.anchors()).expect("the lab's anchor");
    let server = daemon::start(settings).expect("a server");
    let address = server.addresses()[0];
    let questions = catalogue().expect("a catalogue");
    // Of servers that lose packets nothing is promised, nor of what cannot be reached.
    let sure = |question: &&Question| question.note.is_none() && !question.name.ends_with("lossy.com.");
    let questions: Vec<&Question> = questions.iter().filter(sure).collect();
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while let Some(question) = questions.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let response = ask(address, question);
                    failed.lock().expect("the list").extend(wrong(question, &response));
                }
            });
        }
    });
    let failed = failed.into_inner().expect("the list");
    assert!(failed.is_empty(), "{} of {}: {:#?}", failed.len(), questions.len(), &failed[..failed.len().min(80)]);
    server.shutdown().expect("a good end");
}
