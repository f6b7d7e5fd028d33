//! Taking a changed configuration while serving: read, checked, made ready beside the shards, then swapped. What is
//! wrong with it leaves everything as it is. No question, no account and nothing cached is lost.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::{logging, snapshot};
use crate::config::changes::{Change, changes};
use crate::config::{self, Settings};
use crate::engine::Rules;
use crate::net::heap::give_back;

/// How long questions in flight may go on under old rules before those are let go of wherever that happens; a little
/// more than the longest deadline.
const PARTING: Duration = Duration::from_secs(70);
/// How often is looked whether the old rules are still in use.
const LOOK: Duration = Duration::from_millis(50);

/// Reads the configuration again.
pub struct Reloader {
    /// Where it comes from; nowhere if the server was started without, or from a pipe.
    path: Option<PathBuf>,
    /// What holds, apart from trust anchors that were learned.
    current: Mutex<Settings>,
    rules: Arc<watch::Sender<Rules>>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// In effect, or that would be.
    pub changed: Vec<Change>,
    /// Not in effect before a restart.
    pub restart: Vec<Change>,
}

impl Reloader {
    pub fn new(path: Option<PathBuf>, settings: Settings, rules: Arc<watch::Sender<Rules>>) -> Reloader {
        let path = path.filter(|path| path.as_os_str() != "-");
        Reloader { path, current: Mutex::new(settings), rules }
    }

    /// Reads, checks, and unless this is only to `try` it, takes what can be taken without a restart.
    ///
    /// # Errors
    /// All that is wrong with the file, as `check` says it; then nothing has changed.
    pub fn reload(&self, only_try: bool) -> Result<Reloaded, String> {
        let path = self.path.as_ref().ok_or("the server was started without a configuration file to read again")?;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let (settings, report) = config::load(path);
        let mut wanted = settings.ok_or_else(|| report.human(false))?;
        // As at the start.
        wanted.snapshot.file = wanted.snapshot.file.or_else(snapshot::default_path);
        let merged = merge(&current, &wanted);
        let reloaded = Reloaded { changed: changes(&current, &merged), restart: changes(&merged, &wanted) };
        if !only_try {
            self.swap(&merged);
            if current.log.level != merged.log.level {
                logging::set_level(&merged.log.level);
            }
            *current = merged;
        }
        Ok(reloaded)
    }

    /// As [`reload`](Self::reload), said in the log.
    pub fn reload_and_log(&self) -> Result<Reloaded, String> {
        let reloaded = self.reload(false);
        match &reloaded {
            Err(problems) => error!("the configuration is not taken, everything stays as it is: {}", problems.trim()),
            Ok(Reloaded { changed, restart }) => {
                info!("configuration taken: {} settings changed", changed.len());
                changed.iter().for_each(|change| info!("{} is now {}, was {}", change.key, change.to, change.from));
                for Change { key, from, to } in restart {
                    warn!("{key} stays {from} until a restart, which will make it {to}");
                }
            }
        }
        reloaded
    }

    fn swap(&self, merged: &Settings) {
        let policy = Arc::new(merged.engine.clone());
        // The long part, and it happens here, not on a shard.
        let ready = Rules::from(policy);
        let mut old = None;
        self.rules.send_modify(|rules| {
            let mut ready = ready.clone();
            if merged.trust_anchor_state.is_some() {
                // What was learned counts, not what it began with.
                let learned = rules.policy.resolve.dnssec.anchors.clone();
                let anchors = &mut Arc::make_mut(&mut ready.policy).resolve.dnssec.anchors;
                *anchors = learned.with_negative(anchors.negative().to_vec());
            }
            old = Some(std::mem::replace(rules, ready));
        });
        if let Some(old) = old {
            // Letting go of a million records takes a while as well: whoever holds them last does it, and that is to be
            // this thread.
            let parted = std::thread::Builder::new().name("old-rules".to_owned()).spawn(move || part(old));
            if let Err(error) = parted {
                warn!("old rules are let go of by the shards: {error}");
            }
        }
    }
}

/// Waits until nobody else uses `old`, lets go of it, and of the memory that it took.
fn part(old: Rules) {
    let begin = Instant::now();
    while (Arc::strong_count(&old.zones) > 1 || Arc::strong_count(&old.policy) > 1) && begin.elapsed() < PARTING {
        std::thread::sleep(LOOK);
    }
    drop(old);
    give_back();
}

/// `current` with everything of `wanted` that can be taken while serving.
fn merge(current: &Settings, wanted: &Settings) -> Settings {
    let mut merged = current.clone();
    merged.engine = wanted.engine.clone();
    let (resolve, held) = (&mut merged.engine.resolve, &current.engine.resolve);
    // Priming began with them.
    resolve.prime = held.prime;
    resolve.root_hints.clone_from(&held.root_hints);
    if current.trust_anchor_state.is_some() {
        // Their keys are followed.
        let negative = resolve.dnssec.anchors.negative().to_vec();
        resolve.dnssec.anchors = held.dnssec.anchors.clone().with_negative(negative);
    } else {
        merged.trust_anchors_file.clone_from(&wanted.trust_anchors_file);
    }
    merged.cookie_secrets_file.clone_from(&wanted.cookie_secrets_file);
    merged.public_suffixes_file.clone_from(&wanted.public_suffixes_file);
    merged.negative_trust_anchors.clone_from(&wanted.negative_trust_anchors);
    merged.cache.prefetch = wanted.cache.prefetch;
    merged.log.level.clone_from(&wanted.log.level);
    merged
}

impl Reloaded {
    /// For the control socket.
    pub fn json(&self) -> Value {
        let list = |changes: &[Change]| {
            let one = |change: &Change| json!({"key": change.key, "from": change.from, "to": change.to});
            changes.iter().map(one).collect::<Vec<_>>()
        };
        json!({"changed": list(&self.changed), "restart": list(&self.restart)})
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::clock::UnixTime;
    use crate::dnssec::Start;
    use crate::wire::Name;

    #[test]
    fn zones_are_suspended_by_a_reload_whether_keys_are_followed_or_not() {
        for state in ["", "trust_anchor_state = \"state\"\n"] {
            let read = |more: &str| {
                let text = format!("[dnssec]\n{state}{more}");
                config::read(&text, Path::new("test.toml")).unwrap_or_else(|report| panic!("{}", report.human(false)))
            };
            let wanted = read("negative_trust_anchors = [{ zone = \"broken.example.\", until = 2099-01-01 }]\n");
            let name = Name::parse("www.broken.example.").expect("a name");
            let is_suspended = |settings: &Settings| {
                let anchors = &settings.engine.resolve.dnssec.anchors;
                matches!(anchors.closest(&name, UnixTime(1_800_000_000)), Start::Suspended(_))
            };
            let merged = merge(&read(""), &wanted);
            assert!(is_suspended(&merged), "{state}");
            assert!(!is_suspended(&merge(&merged, &read(""))), "{state}: and not any more");
        }
    }
}
