//! The state of trust anchors: whole at every moment, refused when damaged, in effect when it changes.

use std::path::PathBuf;
use std::sync::{Arc, mpsc};

use tokio::sync::watch;

use super::super::anchors::{State, load};
use super::*;
use crate::clock::UnixTime;
use crate::dnssec::tests::signer::{Key, Spec};
use crate::dnssec::tests::{NOW, Set};
use crate::dnssec::{Anchor, Anchors, Budget, KeyState, Limits, Rollover};
use crate::engine::Followed;
use crate::wire::{CLASS_IN, Composer, Flags, Name, QueryView, Rtype, Section};

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("maeslant-state-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a directory");
        Scratch(dir)
    }

    fn state(&self) -> PathBuf {
        self.0.join("anchors")
    }

    fn settings(&self, anchors: &[Anchor]) -> Settings {
        let mut settings = settings(&[loopback()]);
        settings.trust_anchor_state = Some(self.state());
        anchors.iter().for_each(|anchor| settings.engine.resolve.dnssec.anchors.replace(anchor.clone()));
        settings
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn anchor(zone: &str, keys: &[&Key]) -> Anchor {
    let zone_name = Name::parse(zone).expect(zone);
    Anchor { zone: zone_name, ds: keys.iter().map(|key| key.ds(zone, 2)).collect(), dnskeys: Vec::new() }
}

/// What is seen when `zone` shows `keys`, signed by all of them.
fn seen(mut rollover: Rollover, keys: &[&Key], now: UnixTime) -> Followed {
    let zone = rollover.zone().to_string();
    let set = shown(&zone, keys, now);
    let policy = crate::dnssec::Policy::default();
    let budget = Budget::new(&Limits::default());
    let observation = set.signed(|set| rollover.observe(set, &policy, now, &budget));
    assert_eq!(observation.outcome, Ok(()));
    Followed { rollover, seen: Ok(observation) }
}

fn shown(zone: &str, keys: &[&Key], now: UnixTime) -> Set {
    let mut set = Set::new(zone, Rtype::DNSKEY, keys.iter().map(|key| key.rdata.clone()).collect());
    let at = u32::try_from(now.0).expect("before 2106");
    let spec = Spec { from: Some(at - 3600), until: Some(at + 864_000), ..Spec::default() };
    keys.iter().for_each(|key| key.sign_as(&mut set, zone, &spec));
    set
}

fn tags(anchors: &Anchors, zone: &str) -> Vec<u16> {
    let zone = Name::parse(zone).expect(zone);
    let mut tags: Vec<u16> = anchors.of(&zone).into_iter().flat_map(Anchor::tags).collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

fn state(settings: &Settings) -> State {
    load(&mut settings.clone()).expect("a state").expect("a file is named")
}

fn refusal(settings: &Settings) -> String {
    let error = load(&mut settings.clone()).expect_err("a refusal");
    assert_eq!(error.exit(), Exit::Config);
    error.to_string()
}

#[test]
fn what_was_learned_is_there_at_the_next_start_and_in_effect_at_once() {
    let scratch = Scratch::new("learned");
    let (old, spare, island) = (Key::new(13, 257), Key::new(13, 257), Key::new(15, 257));
    let settings = scratch.settings(&[anchor(".", &[&old, &spare]), anchor("island.example.", &[&island])]);
    let before = settings.engine.resolve.dnssec.anchors.clone();
    let first = state(&settings);
    first.save().expect("written");
    let (changes, mut rules) = watch::channel(Rules::from(Arc::new(settings.engine.clone())));
    let (follows, keeper) = first.keep(Arc::new(changes)).expect("a thread");
    let zones: Vec<String> = follows.rollovers.iter().map(|rollover| rollover.zone().to_string()).collect();
    assert_eq!(zones, [".", "island.example."]);

    // Nothing changes where the zone shows what is trusted …
    let (root, below) = (follows.rollovers[0].clone(), follows.rollovers[1].clone());
    let plain = seen(root, &[&old, &spare], NOW);
    follows.seen.send(plain.clone()).expect("taken");
    follows.seen.send(seen(below, &[&island], NOW)).expect("taken");
    // … and something does when a key is revoked.
    let (old_tag, spare_tag) = (old.tag(), spare.tag());
    assert!(tags(&before, ".").contains(&old_tag));
    let revoked = old.flagged(257 | 128);
    follows.seen.send(seen(plain.rollover, &[&revoked, &spare], UnixTime(NOW.0 + 86_400))).expect("taken");
    drop(follows);
    keeper.join().expect("a good end");
    let now = rules.borrow_and_update().policy.resolve.dnssec.anchors.clone();
    assert_eq!(tags(&now, "."), [spare_tag]);
    assert_eq!(tags(&now, "island.example."), tags(&before, "island.example."));

    let mut next = settings.clone();
    let again = load(&mut next).expect("a state").expect("a file is named");
    assert_eq!(tags(&next.engine.resolve.dnssec.anchors, "."), [spare_tag], "the old anchor does not come back");
    let (follows, _) = again.keep(Arc::new(watch::channel(Rules::from(Arc::new(next.engine))).0)).expect("a thread");
    let states: Vec<KeyState> = follows.rollovers.iter().flat_map(Rollover::keys).map(|key| key.state).collect();
    assert_eq!(states.iter().filter(|state| **state == KeyState::Revoked).count(), 1, "{states:?}");
    assert_eq!(states.iter().filter(|state| **state == KeyState::Valid).count(), 2, "{states:?}");
}

#[test]
fn a_damaged_state_is_refused_with_its_line() {
    let scratch = Scratch::new("damaged");
    let (key, island) = (Key::new(13, 257), Key::new(13, 257));
    let settings = scratch.settings(&[anchor(".", &[&key]), anchor("island.example.", &[&island])]);
    state(&settings).save().expect("written");
    let text = std::fs::read_to_string(scratch.state()).expect("text");
    let lines = text.lines().count();
    // A file that was cut anywhere within a part is noticed; between two parts it is whole, and one is not there.
    let between = text.find("end ").map(|at| at + text[at..].find('\n').expect("a line") + 1).expect("two parts");
    for end in (0..text.len()).filter(|end| *end != between) {
        std::fs::write(scratch.state(), &text[..end]).expect("written");
        let said = refusal(&settings);
        assert!(said.contains("line ") && said.contains("trust_anchor_state"), "{end} octets: {said}");
    }
    for (damaged, line) in [
        (text.replacen("zone .", "zone x.", 1), 4),
        (text.replace("zone island", "zone xsland"), lines),
        (text.replacen("next 0", "next 1", 1), 4),
        (text.replacen("next 0", "next soon", 1), 3),
        (format!("{text}{text}"), lines + 1),
        (format!("{text}more\n"), lines + 1),
    ] {
        std::fs::write(scratch.state(), &damaged).expect("written");
        let said = refusal(&settings);
        assert!(said.contains(&format!("line {line}:")) && said.contains("take the file away"), "line {line}: {said}");
    }
    // The server does not start with it, nor where it could not write.
    assert!(matches!(start(settings.clone()), Err(Error::Config(_))));
    std::fs::remove_file(scratch.state()).expect("removed");
    let nowhere = Settings { trust_anchor_state: Some(scratch.0.join("missing/anchors")), ..settings.clone() };
    let Err(Error::Config(said)) = start(nowhere) else { panic!("it started") };
    assert!(said.contains("cannot be written"), "{said}");
    // What a crash left of a file that was being written is no obstacle.
    state(&settings).save().expect("written");
    std::fs::write(scratch.state().with_file_name("anchors.new"), "; trust anc").expect("written");
    state(&settings).save().expect("written over it");
    assert!(!scratch.state().with_file_name("anchors.new").exists());
}

#[test]
fn whoever_reads_the_state_finds_a_whole_one() {
    let scratch = Scratch::new("whole");
    let key = Key::new(13, 257);
    let settings = scratch.settings(&[anchor(".", &[&key])]);
    let writer = state(&settings);
    writer.save().expect("written");
    let (done, end) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        while end.try_recv() == Err(mpsc::TryRecvError::Empty) {
            writer.save().expect("written");
        }
    });
    for _ in 0..300 {
        state(&settings);
    }
    drop(done);
    thread.join().expect("a good end");
}

#[test]
fn without_a_file_or_without_validation_nothing_is_followed() {
    let scratch = Scratch::new("off");
    let key = Key::new(13, 257);
    let mut settings = scratch.settings(&[anchor(".", &[&key])]);
    settings.engine.resolve.dnssec.validation = false;
    assert!(load(&mut settings).expect("fine").is_none());
    settings.engine.resolve.dnssec.validation = true;
    settings.trust_anchor_state = None;
    assert!(load(&mut settings).expect("fine").is_none());
    assert!(!scratch.state().exists());
}

/// A root server that shows `set`, asked for its keys, and says nothing else. Ends when it is told so by an empty packet.
fn root_server(set: Set) -> (SocketAddr, std::thread::JoinHandle<usize>) {
    let socket = UdpSocket::bind(loopback()).expect("a port");
    let address = socket.local_addr().expect("bound");
    let thread = std::thread::spawn(move || {
        let mut asked = 0;
        let mut packet = [0; 2048];
        while let Ok((length @ 1.., from)) = socket.recv_from(&mut packet) {
            let Ok(view) = QueryView::parse(&packet[..length]) else { continue };
            if view.rtype != Rtype::DNSKEY {
                continue;
            }
            asked += 1;
            let mut out = Vec::new();
            let mut composer = Composer::new(&mut out, view.id, Flags::QR | Flags::AA, 4096);
            composer.question(view.question);
            let records = set.rdatas.iter().map(|rdata| (set.rtype, rdata));
            for (rtype, rdata) in records.chain(set.signatures.iter().map(|rdata| (Rtype::RRSIG, rdata))) {
                composer.record(Section::Answer, &[0], rtype, CLASS_IN, set.ttl, rdata).expect("room");
            }
            composer.edns(1232, 0, true, &[]);
            composer.finish();
            let _ = socket.send_to(&out, from);
        }
        asked
    });
    (address, thread)
}

#[test]
fn a_running_server_follows_the_keys_of_the_root_by_one_shard_alone() {
    let scratch = Scratch::new("running");
    let (key, new) = (Key::new(13, 257), Key::new(13, 257));
    let now = crate::net::clock::read(false).unix;
    let mut set = shown(".", &[&key, &new], now);
    set.signatures.truncate(1);
    let (root, thread) = root_server(set);
    let mut settings = scratch.settings(&[anchor(".", &[&key])]);
    settings.workers = 3;
    settings.engine.resolve.server_port = root.port();
    settings.engine.resolve.root_hints =
        vec![crate::resolve::Hint { name: "a.root.".to_owned(), addresses: vec![root.ip()] }];
    let handle = start(settings.clone()).expect("started");
    let keys = |text: &str| text.lines().filter(|line| line.starts_with("key ")).count();
    let began = Instant::now();
    while keys(&std::fs::read_to_string(scratch.state()).expect("a file from the start")) < 2 {
        assert!(began.elapsed() < WAIT, "nothing was learned");
        std::thread::yield_now();
    }
    handle.shutdown().expect("a good end");
    let text = std::fs::read_to_string(scratch.state()).expect("text");
    assert!(text.contains("key valid ") && text.contains("key pending "), "{text}");
    state(&settings);
    UdpSocket::bind(loopback()).and_then(|socket| socket.send_to(&[], root)).expect("sent");
    assert_eq!(thread.join().expect("a good end"), 1, "asked once");
}
