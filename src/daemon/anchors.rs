//! Trust anchors over the years (RFC 5011): the file that keeps what was learned, and who acts on it.
//!
//! The file has a part for each zone, each recognisable as whole. It is never changed in place: a new one is written
//! beside it, synced, and takes its name; so there is a whole one at every moment.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use tokio::sync::watch;
use tracing::{debug, error, info, warn};

use super::{Error, begin_beside};
use crate::config::{Settings, dates};
use crate::dnssec::{Anchor, Anchors, KeyState, Rollover, Transition};
use crate::engine::{Followed, Rules};
use crate::wire::Name;

/// A state of sixteen keys of two kilobits is ten kilobytes; more is something else.
const FILE_LIMIT: u64 = 1 << 20;

/// What is known of the keys of each anchor's zone, and where it is kept.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    rollovers: Vec<Rollover>,
}

/// What the shard needs that follows the keys.
pub struct Follows {
    pub rollovers: Vec<Rollover>,
    pub seen: mpsc::Sender<Followed>,
}

/// As [`load`], and sees to it that the state can be written: one that cannot is of no use at the next start, which is
/// better said now.
pub fn begin(settings: &mut Settings) -> Result<Option<State>, Error> {
    let state = load(settings)?;
    state.as_ref().map(State::save).transpose()?;
    Ok(state)
}

/// Reads the state, if the settings name a file for it, and puts what was learned in place of the anchors there. A file
/// that is not there yet is no error, one that is damaged is: what it kept away may not come back unnoticed.
pub fn load(settings: &mut Settings) -> Result<Option<State>, Error> {
    let dnssec = &mut settings.engine.resolve.dnssec;
    let Some(path) = settings.trust_anchor_state.clone().filter(|_| dnssec.validation) else { return Ok(None) };
    let parsed = match read(&path) {
        Ok(text) if text.trim().is_empty() => Err((1, "the text was cut".to_owned())),
        Ok(text) => parse(&text, &dnssec.anchors),
        Err(error) if error.kind() == io::ErrorKind::NotFound => parse("", &dnssec.anchors),
        Err(error) => return Err(unusable(&path, &error.to_string(), "")),
    };
    let rollovers = parsed.map_err(|(line, message)| {
        let help = "; take the file away to begin again with the anchors of the configuration";
        unusable(&path, &format!("line {line}: {message}"), help)
    })?;
    for rollover in &rollovers {
        apply(&mut dnssec.anchors, rollover);
    }
    Ok(Some(State { path, rollovers }))
}

fn unusable(path: &Path, why: &str, help: &str) -> Error {
    Error::Config(format!("{} ([dnssec] trust_anchor_state): {why}{help}", path.display()))
}

fn read(path: &Path) -> io::Result<String> {
    let about = fs::metadata(path)?;
    if !about.is_file() || about.len() > FILE_LIMIT {
        return Err(io::Error::other("not a regular file of at most 1 MiB"));
    }
    fs::read_to_string(path)
}

/// The part of each zone that has an anchor; those without a part begin anew. Parts of other zones must be whole too.
fn parse(text: &str, anchors: &Anchors) -> Result<Vec<Rollover>, (usize, String)> {
    let mut known: Vec<(usize, Rollover)> = Vec::new();
    let (mut begin, mut first) = (0, 1);
    let (mut at, mut number) = (0, 0);
    for line in text.split_inclusive('\n') {
        at += line.len();
        number += 1;
        if !line.starts_with("end ") && at < text.len() {
            continue;
        }
        let part = text.get(begin..at).unwrap_or("");
        let name =
            part.lines().find_map(|line| line.strip_prefix("zone ")).and_then(|name| Name::parse(name.trim()).ok());
        let zone = name.unwrap_or_else(Name::root);
        let seed = anchors.of(&zone).cloned();
        let seed = seed.unwrap_or(Anchor { zone, ds: Vec::new(), dnskeys: Vec::new() });
        let rollover = Rollover::from_text(part, seed).map_err(|error| (first + error.line - 1, error.message))?;
        if known.iter().any(|(_, other)| other.zone() == rollover.zone()) {
            return Err((first, format!("a second part about {}", rollover.zone())));
        }
        known.push((first, rollover));
        (begin, first) = (at, number + 1);
    }
    let of = |anchor: &Anchor| {
        let found = known.iter().find(|(_, rollover)| *rollover.zone() == anchor.zone);
        found.map_or_else(|| Rollover::new(anchor.clone()), |(_, rollover)| rollover.clone())
    };
    Ok(anchors.iter().map(of).collect())
}

fn apply(anchors: &mut Anchors, rollover: &Rollover) {
    let anchor = rollover.anchor();
    if anchor.tags().next().is_none() {
        error!(
            "{} has withdrawn every key that was trusted: nothing below it is validated until the configuration names \
             others",
            rollover.zone()
        );
    }
    anchors.replace(anchor);
}

impl State {
    /// Writes the state so that there is a whole file at every moment, and the new one for good when it comes back.
    pub fn save(&self) -> Result<(), Error> {
        self.write().map_err(|error| unusable(&self.path, &format!("cannot be written: {error}"), ""))
    }

    fn write(&self) -> io::Result<()> {
        let mut name = self.path.file_name().unwrap_or_default().to_os_string();
        name.push(".new");
        let beside = self.path.with_file_name(name);
        let mut file = File::create(&beside)?;
        let text: String = self.rollovers.iter().map(Rollover::to_text).collect();
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        // The name is part of the directory, which is synced by itself.
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    }

    /// Keeps the state on a thread of its own, since a disk may be slow, for as long as somebody follows the keys. What
    /// changes comes out of `rules`.
    pub fn keep(self, rules: Arc<watch::Sender<Rules>>) -> Result<(Follows, JoinHandle<()>), Error> {
        let (seen, news) = mpsc::channel();
        let follows = Follows { rollovers: self.rollovers.clone(), seen };
        let mut state = self;
        let body = move || news.into_iter().for_each(|followed| state.take(followed, &rules));
        Ok((follows, begin_beside("anchors", body)?))
    }

    /// First into the file, then into effect.
    fn take(&mut self, followed: Followed, rules: &watch::Sender<Rules>) {
        let rollover = &followed.rollover;
        let Some(known) = self.rollovers.iter_mut().find(|known| known.zone() == rollover.zone()) else { return };
        let changed = known.anchor() != rollover.anchor();
        known.clone_from(rollover);
        if let Err(error) = self.save() {
            // A key that was withdrawn must not count in the meantime.
            error!("{error}; what was learned is lost if the server ends before it can be written");
        }
        if changed {
            rules.send_modify(|rules| apply(&mut Arc::make_mut(&mut rules.policy).resolve.dnssec.anchors, rollover));
        }
        tell(&followed);
    }
}

fn tell(followed: &Followed) {
    let zone = followed.rollover.zone();
    let observation = match &followed.seen {
        Ok(observation) => observation,
        Err(failure) => return warn!("the keys of {zone} cannot be fetched to see whether they change: {failure}"),
    };
    for transition in &observation.transitions {
        info!("trust anchor {zone}: {}", said(transition, &followed.rollover));
    }
    match &observation.outcome {
        Ok(()) => debug!("the keys of {zone} were seen; again at {}", dates::write(followed.rollover.next_query())),
        Err(cause) => warn!("the keys of {zone} do not validate by what is trusted: {cause}"),
    }
}

/// A change of a key in words.
fn said(transition: &Transition, rollover: &Rollover) -> String {
    let tag = transition.tag;
    let key = rollover.keys().iter().find(|key| key.tag() == tag);
    let until = key.map_or_else(String::new, |key| dates::write(key.until));
    match (transition.from, transition.to) {
        (_, Some(KeyState::AddPend)) => format!("key {tag} is new; it is trusted if it stays until {until}"),
        (None, Some(KeyState::Valid)) => format!("key {tag} is in use, as the configuration trusts it"),
        (Some(KeyState::Missing), Some(KeyState::Valid)) => format!("key {tag} is in use again"),
        (_, Some(KeyState::Valid)) => format!("key {tag} has stayed long enough: it is trusted from now on"),
        (_, Some(KeyState::Missing)) => format!("key {tag} is not shown any more; it stays trusted"),
        (_, Some(KeyState::Revoked)) => format!("key {tag} is withdrawn by its zone: it is not trusted any more"),
        (_, Some(KeyState::Removed)) => format!("key {tag} was withdrawn long ago and is not looked for any more"),
        (_, None) => format!("key {tag} has vanished before it was trusted"),
    }
}
