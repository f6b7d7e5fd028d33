//! Trust anchors in the configuration: whose root it is, the file that names others, and zones that are suspended.

use std::net::IpAddr;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeArray, DeTable, DeValue};

use super::check::read_file;
use super::read::{Reader, Reading, kind_of};
use super::report::{Code, Problem, Source};
use super::units::{self, Wrong};
use super::{dates, zonefile};
use crate::dnssec::{AnchorError, Anchors, NegativeAnchor, Support, support};
use crate::resolve::{COMPILED_ROOT_HINTS, Hint};
use crate::text::nearest;
use crate::wire::Name;

const FILE: &str = "dnssec.trust_anchors";
const SUSPENDED: &str = "dnssec.negative_trust_anchors";
const HINTS: &str = "resolver.root_hints";
const EXAMPLE: &str = r#"{ zone = "example.", until = "2026-12-31" }"#;

/// Decides which anchors count. The root hints have been read before.
pub(super) fn complete(reading: &mut Reading, base: &Path) {
    if let Some(state) = reading.settings.trust_anchor_state.take() {
        reading.settings.trust_anchor_state = Some(base.join(state));
    }
    let anchors = match reading.settings.trust_anchors_file.clone() {
        Some(file) => {
            let anchors = from_file(reading, base.join(file));
            warn_of_useless(reading, &anchors);
            anchors
        }
        None if is_public(&reading.settings.engine.resolve.root_hints) => Anchors::built_in(),
        None => {
            private_root(reading);
            Anchors::default()
        }
    };
    for at in 0..reading.settings.negative_trust_anchors.len() {
        warn_of_ended(reading, at);
    }
    let negative = reading.settings.negative_trust_anchors.clone();
    reading.settings.engine.resolve.dnssec.anchors = anchors.with_negative(negative);
}

fn from_file(reading: &mut Reading, path: std::path::PathBuf) -> Anchors {
    let place = reading.sound(FILE).map_or(0..0, |written| written.value.clone());
    let anchors = match read_file(&path) {
        Err(why) => {
            let problem = Problem::error(Code::Unreadable, format!("cannot read {}", path.display()));
            reading.say(problem.at(place, why).about(FILE));
            Anchors::default()
        }
        Ok(text) => {
            let parsed = Anchors::parse(&text);
            let number = reading.report.sources.len();
            let source = Source::new(path.display().to_string(), text);
            let errors = parsed.as_ref().err().map_or(&[][..], Vec::as_slice);
            for AnchorError { line, message } in errors {
                let problem = Problem::error(Code::TrustAnchors, "the trust anchors cannot be used");
                reading.report.problems.push(problem.within(number, source.span(*line), message.clone()).about(FILE));
            }
            reading.report.sources.push(source);
            parsed.unwrap_or_default()
        }
    };
    reading.settings.trust_anchors_file = Some(path);
    anchors
}

/// Is it the Internet's root? Addresses of its servers change, a few in ten years; those of another root are others.
fn is_public(hints: &[Hint]) -> bool {
    let compiled = zonefile::hints(COMPILED_ROOT_HINTS).servers;
    let known: Vec<IpAddr> = hints.iter().flat_map(|hint| hint.addresses.iter().copied()).collect();
    let all: Vec<IpAddr> = compiled.iter().flat_map(|hint| hint.addresses.iter().copied()).collect();
    all.iter().filter(|address| known.contains(address)).count() * 2 >= all.len()
}

fn private_root(reading: &mut Reading) {
    if !reading.settings.engine.resolve.dnssec.validation
        || [HINTS, FILE, "dnssec.validation"].iter().any(|path| reading.broken(path))
    {
        return;
    }
    let Some(place) = reading.sound(HINTS).map(|written| written.value.clone()) else { return };
    let problem = Problem::warning("nothing is validated: this is not the Internet's root, and its keys are not known")
        .at(place, "root servers of another root")
        .help("name its keys with trust_anchors below [dnssec], or write validation = false there")
        .about(HINTS);
    reading.say(problem);
}

/// A zone of whose anchors none counts is taken for unsigned (RFC 4035 §5.2): hardly what they were named for.
fn warn_of_useless(reading: &mut Reading, anchors: &Anchors) {
    let dnssec = reading.settings.engine.resolve.dnssec.clone();
    let place = reading.sound(FILE).map(|written| written.value.clone());
    for anchor in anchors.iter().filter(|_| dnssec.validation) {
        let support = anchor.with_trusted(|trusted| support(&anchor.zone, trusted, &dnssec.policy));
        let Support::Insecure(cause) = support else { continue };
        let problem = Problem::warning(format!("`{}` is not validated: none of its trust anchors counts", anchor.zone))
            .help("name a DS or DNSKEY record of an algorithm and a digest that count")
            .about(FILE);
        reading.say(match &place {
            Some(place) => problem.at(place.clone(), cause.why.to_string()),
            None => problem,
        });
    }
}

fn warn_of_ended(reading: &mut Reading, at: usize) {
    let Some(negative) = reading.settings.negative_trust_anchors.get(at) else { return };
    if negative.until > crate::net::clock::read(true).unix {
        return;
    }
    let message = format!("`{}` is validated again: its exception has ended", negative.zone);
    let place = reading.sound(SUSPENDED).and_then(|written| written.items.get(at).cloned());
    let problem = Problem::warning(message).help("take it out of the list, or give it a later end").about(SUSPENDED);
    reading.say(place.into_iter().fold(problem, |problem, place| problem.at(place, "in the past")));
}

impl Reader {
    /// Reads the zones that are suspended; each needs both keys.
    pub(super) fn suspended(&mut self, path: &str, array: &DeArray<'_>) -> (Vec<NegativeAnchor>, Vec<Range<usize>>) {
        let mut read: Vec<NegativeAnchor> = Vec::new();
        let mut places: Vec<Range<usize>> = Vec::new();
        for item in array.iter() {
            let DeValue::Table(table) = item.get_ref() else {
                let problem = Problem::error(Code::WrongType, format!("`{path}` is a list of tables"));
                let kind = kind_of(item.get_ref());
                let problem = problem.at(item.span(), format!("expected a zone and its end, found {kind}"));
                let help = match item.get_ref() {
                    DeValue::String(zone) => {
                        format!("write {{ zone = {}, until = \"2026-12-31\" }}", super::shape::quote(zone))
                    }
                    _ => format!("write {EXAMPLE}"),
                };
                self.fail(problem.help(help));
                continue;
            };
            let Some(negative) = self.suspension(path, table, item.span()) else { continue };
            match read.iter().position(|other| other.zone == negative.zone) {
                Some(first) => {
                    let message = format!("`{path}` has the zone `{}` twice", negative.zone);
                    let problem = Problem::error(Code::Conflict, message).at(item.span(), "again here");
                    self.fail(problem.at(places[first].clone(), "first here"));
                }
                None => {
                    read.push(negative);
                    places.push(item.span());
                }
            }
        }
        (read, places)
    }

    fn suspension(&mut self, path: &str, table: &DeTable<'_>, place: Range<usize>) -> Option<NegativeAnchor> {
        let (mut zone, mut until) = (None, None);
        let mut sound = true;
        for (key, value) in table {
            let wrong = match (key.get_ref().as_ref(), value.get_ref()) {
                ("zone", DeValue::String(text)) => match units::zone(text) {
                    Ok(text) => {
                        zone = Name::parse(&text).ok();
                        None
                    }
                    Err(wrong) => Some(wrong),
                },
                ("until", DeValue::String(text)) => dates::read(text).map(|at| until = Some(at)).err(),
                ("until", DeValue::Datetime(datetime)) => dates::of(datetime).map(|at| until = Some(at)).err(),
                (name @ ("zone" | "until"), other) => Some(Wrong {
                    what: format!(
                        "expected {}, found {}",
                        if name == "zone" { "a zone's name" } else { "a date" },
                        kind_of(other)
                    ),
                    help: Some(format!("for example: {EXAMPLE}")),
                }),
                (name, _) => {
                    sound = false;
                    let problem = Problem::error(Code::UnknownKey, format!("`{path}` has no key `{name}`"))
                        .at(key.span(), "not known here");
                    self.fail(match nearest(name, ["zone", "until"].into_iter()) {
                        Some(near) => problem.help(format!("did you mean `{near}`?")),
                        None => problem.help("its keys are zone, until"),
                    });
                    continue;
                }
            };
            if let Some(wrong) = wrong {
                sound = false;
                self.bad(path, value.span(), wrong);
            }
        }
        for (present, key, help) in [
            (zone.is_some(), "zone", "say which zone is not validated"),
            (
                until.is_some(),
                "until",
                "an exception needs an end, after which the zone is validated again (RFC 7646 §2)",
            ),
        ] {
            if sound && !present {
                let problem = Problem::error(Code::MissingKey, format!("an entry of `{path}` has no `{key}`"));
                self.fail(problem.at(place.clone(), format!("`{key}` is missing")).help(format!("{help}: {EXAMPLE}")));
            }
        }
        zone.zip(until).filter(|_| sound).map(|(zone, until)| NegativeAnchor { zone, until })
    }
}
