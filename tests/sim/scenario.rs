//! Scenario files: who is there, what is asked and when, and what must come out. `tests/scenarios/README.md` is the
//! reference of the format.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use hickory_proto::rr::{Name, Record, RecordType};
use maeslant::admission::Mode;
use maeslant::dnssec::Sha1;
use maeslant::engine::{Policy, Transport};
use maeslant::lab::sign::Plan;
use maeslant::resolve::{Hint, Minimisation, Upstream, UpstreamKind};

use super::client::{Opt, Query};
use super::script::{Action, Rule};
use super::server::Server;
use super::signing;
use super::text::{self, Wanted};
use super::world::Network;
use super::zone::Zone;

/// Where a line stands, for messages.
#[derive(Clone, Debug)]
pub struct Place {
    pub file: String,
    pub line: usize,
}

/// A scenario, read.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub policy: Policy,
    pub cache: maeslant::cache::Policy,
    pub network: Network,
    pub servers: Vec<Server>,
    pub steps: Vec<(Place, Step)>,
    /// So many runs, each with its own seed.
    pub seeds: u64,
}

#[derive(Clone, Debug)]
pub enum Step {
    At(Duration),
    Wait(Duration),
    Settle(Duration),
    Ask {
        query: Query,
        from: Option<SocketAddr>,
        transport: Transport,
        times: usize,
    },
    Raw {
        packet: Vec<u8>,
        from: Option<SocketAddr>,
        transport: Transport,
    },
    Expect(Box<Expectation>),
    Dropped,
    Silence(Duration),
    Sent {
        server: String,
        least: usize,
        most: usize,
    },
    Saw {
        server: String,
        questions: Vec<(Name, Option<RecordType>)>,
    },
    Unseen {
        server: String,
        name: Name,
    },
    Reset,
    Set {
        server: String,
        setting: String,
    },
    /// Packets with wrong IDs, from nowhere, for every open ask.
    Forge(u32),
    Gone,
    Notice(String),
}

/// What a response must be.
#[derive(Clone, Debug)]
pub struct Expectation {
    pub rcode: String,
    pub flags: Vec<(String, bool)>,
    pub within: Option<Duration>,
    pub after: Option<Duration>,
    /// So many questions are answered so.
    pub times: usize,
    /// The answer section may be anything.
    pub any: bool,
    pub in_order: bool,
    pub edns: Option<bool>,
    pub largest: Option<usize>,
    pub answers: Vec<Wanted>,
    pub authorities: Option<Vec<Wanted>>,
    pub additionals: Option<Vec<Wanted>>,
    pub extended_errors: Vec<u16>,
    pub no_extended_error: bool,
    /// Options that must be there, with their data where given.
    pub options: Vec<(u16, Option<Vec<u8>>)>,
}

/// A line with its words; `indented` lines belong to the one before.
struct Line {
    place: Place,
    text: String,
    indented: bool,
}

impl Scenario {
    pub fn load(path: &Path) -> Result<Scenario, String> {
        let mut lines = Vec::new();
        read_lines(path, &mut lines)?;
        Scenario::read(&lines)
    }

    /// From text that a test has made.
    pub fn parse(text: &str) -> Result<Scenario, String> {
        let mut lines = Vec::new();
        take_lines("tests/made here", text, &mut lines)?;
        Scenario::read(&lines)
    }

    fn read(lines: &[Line]) -> Result<Scenario, String> {
        let mut scenario = Scenario {
            policy: Policy::default(),
            cache: maeslant::cache::Policy::default(),
            network: Network::default(),
            servers: Vec::new(),
            steps: Vec::new(),
            seeds: 3,
        };
        scenario.policy.resolve.prime = false;
        let mut at = 0;
        while at < lines.len() {
            let body = lines[at + 1..].iter().take_while(|line| line.indented).count();
            let (head, block) = (&lines[at], &lines[at + 1..at + 1 + body]);
            if head.indented {
                return Err(format!("{}:{}: an indented line without a head", head.place.file, head.place.line));
            }
            scenario.item(head, block)?;
            at += 1 + body;
        }
        let negative = scenario.policy.resolve.dnssec.anchors.negative().to_vec();
        scenario.policy.resolve.dnssec.anchors = signing::sign(&mut scenario.servers)?.with_negative(negative);
        Ok(scenario)
    }

    /// Validation is suspended below a zone, for longer than any scenario takes.
    fn suspend(&mut self, words: &[&str]) -> Result<(), String> {
        let zone = words.first().and_then(|word| maeslant::wire::Name::parse(word).ok()).ok_or("suspend ZONE")?;
        let anchors = &mut self.policy.resolve.dnssec.anchors;
        let mut negative = anchors.negative().to_vec();
        negative.push(maeslant::dnssec::NegativeAnchor { zone, until: maeslant::clock::UnixTime(4_000_000_000) });
        *anchors = std::mem::take(anchors).with_negative(negative);
        Ok(())
    }

    fn item(&mut self, head: &Line, block: &[Line]) -> Result<(), String> {
        let words: Vec<&str> = head.text.split_whitespace().collect();
        let done = match words[0] {
            "policy" => each(block, |line| self.set_policy(line)),
            "network" => each(block, |line| self.set_network(line)),
            "seeds" => words.get(1).and_then(|n| n.parse().ok()).map(|n| self.seeds = n).ok_or("seeds N".to_string()),
            "suspend" => self.suspend(&words[1..]),
            "hint" => self.add_hint(&words[1..]),
            "forward" => self.add_upstream(&words[1..], UpstreamKind::Forward),
            "stub" => self.add_upstream(&words[1..], UpstreamKind::Stub),
            "server" => self.add_server(&words[1..], block),
            "extend" => self.extend_server(&words[1..], block),
            _ => self.add_step(head, &words, block),
        };
        done.map_err(|what| match what.starts_with("tests/") {
            true => what,
            false => format!("{}:{}: {what}", head.place.file, head.place.line),
        })
    }

    fn set_policy(&mut self, line: &str) -> Result<(), String> {
        let mut rest = line;
        let key = text::word(&mut rest);
        let on = || match rest {
            "on" => Ok(true),
            "off" => Ok(false),
            other => Err(format!("`{other}` is neither `on` nor `off`")),
        };
        let number = || rest.parse::<u64>().map_err(|_| format!("`{rest}` is no number"));
        let Policy { access, local, resolve, respond, cache_prefetch } = &mut self.policy;
        match key {
            "prime" => resolve.prime = on()?,
            "minimisation" => {
                resolve.minimisation = match rest {
                    "relaxed" => Minimisation::Relaxed,
                    "strict" => Minimisation::Strict,
                    "off" => Minimisation::Off,
                    other => return Err(format!("`{other}` is no minimisation")),
                }
            }
            "case" => resolve.case_randomisation = on()?,
            "validation" => resolve.dnssec.validation = on()?,
            "aggressive" => resolve.dnssec.aggressive = on()?,
            "sha1" => resolve.dnssec.policy.sha1 = if on()? { Sha1::Validate } else { Sha1::Insecure },
            "nsec3-iterations" => resolve.dnssec.policy.max_nsec3_iterations = number()? as u16,
            "min-rsa-bits" => resolve.dnssec.policy.min_rsa_bits = number()? as u16,
            "cookies" => resolve.cookies = on()?,
            "ipv4" => resolve.ipv4 = on()?,
            "ipv6" => resolve.ipv6 = on()?,
            "deadline" => resolve.deadline = text::duration(rest)?,
            "upstream-udp-size" => resolve.udp_payload_size = number()? as u16,
            "do-not-query" => resolve.do_not_query.push(rest.parse().map_err(|_| format!("`{rest}` is no prefix"))?),
            "allow" => access.allow.push(rest.parse().map_err(|_| format!("`{rest}` is no prefix"))?),
            "refused-per-second" => access.refused_per_second = number()? as u32,
            "special-use" => local.special_use = on()?,
            "record" => std::sync::Arc::make_mut(&mut local.records).push(rest.to_string()),
            "udp-size" => respond.udp_payload_size = number()? as u16,
            "extended-errors" => respond.extended_errors = on()?,
            "nsid" => respond.nsid = Some(rest.as_bytes().to_vec()),
            "version" => respond.version = Some(rest.to_string()),
            "identity" => respond.identity = Some(rest.to_string()),
            "prefetch" => (*cache_prefetch, self.cache.prefetch) = (on()?, on()?),
            "stale" => {
                resolve.stale.serve = match rest {
                    "observe" => Mode::Observe,
                    _ => {
                        if on()? {
                            Mode::Enforce
                        } else {
                            Mode::Off
                        }
                    }
                }
            }
            "stale-max-age" => resolve.stale.max_age = text::duration(rest)?,
            "stale-after" => resolve.stale.after = text::duration(rest)?,
            "min-ttl" => self.cache.min_ttl = text::duration(rest)?,
            "max-ttl" => self.cache.max_ttl = text::duration(rest)?,
            "max-negative-ttl" => self.cache.max_negative_ttl = text::duration(rest)?,
            "memory" => self.cache.memory = number()?,
            other => return Err(format!("the policy has no `{other}`")),
        }
        Ok(())
    }

    fn set_network(&mut self, line: &str) -> Result<(), String> {
        let mut rest = line;
        let key = text::word(&mut rest);
        let share = || rest.parse::<f64>().map_err(|_| format!("`{rest}` is no share of 1"));
        match key {
            "rtt" => {
                let (least, most) = rest.split_once("..").unwrap_or((rest, rest));
                self.network.rtt = (text::duration(least)?, text::duration(most)?);
            }
            "loss" => self.network.loss = share()?,
            "duplicate" => self.network.duplicate = share()?,
            "reorder" => self.network.reorder = share()?,
            other => return Err(format!("the network has no `{other}`")),
        }
        Ok(())
    }

    fn add_hint(&mut self, words: &[&str]) -> Result<(), String> {
        let [name, addresses @ ..] = words else { return Err("write `hint NAME ADDRESS…`".to_string()) };
        text::name(name)?;
        let addresses = addresses.iter().map(|word| address(word)).collect::<Result<_, _>>()?;
        self.policy.resolve.root_hints.push(Hint { name: (*name).to_string(), addresses });
        Ok(())
    }

    fn add_upstream(&mut self, words: &[&str], kind: UpstreamKind) -> Result<(), String> {
        let [zone, rest @ ..] = words else { return Err("write `forward ZONE ADDRESS…`".to_string()) };
        text::name(zone)?;
        let fallback = rest.last() == Some(&"fallback");
        let servers = rest[..rest.len() - usize::from(fallback)]
            .iter()
            .map(|word| word.parse().or_else(|_| address(word).map(|ip| SocketAddr::new(ip, 53))))
            .collect::<Result<_, _>>()?;
        self.policy.resolve.upstreams.push(Upstream { zone: (*zone).to_string(), servers, kind, fallback });
        Ok(())
    }

    fn add_server(&mut self, words: &[&str], block: &[Line]) -> Result<(), String> {
        let [name, rest @ ..] = words else { return Err("write `server NAME ADDRESS…`".to_string()) };
        if self.servers.iter().any(|server| server.name == *name) {
            return Err(format!("there are two servers `{name}`"));
        }
        self.servers.push(Server::new(name, Vec::new()));
        let last = self.servers.len() - 1;
        describe(&mut self.servers[last], rest, block)
    }

    fn extend_server(&mut self, words: &[&str], block: &[Line]) -> Result<(), String> {
        let [name, rest @ ..] = words else { return Err("write `extend SERVER`".to_string()) };
        let server = self.servers.iter_mut().find(|server| server.name == *name);
        describe(server.ok_or_else(|| format!("there is no server `{name}`"))?, rest, block)
    }

    fn add_step(&mut self, head: &Line, words: &[&str], block: &[Line]) -> Result<(), String> {
        let step = step(words, block)?;
        match &step {
            Step::Sent { server, .. } | Step::Saw { server, .. } | Step::Unseen { server, .. } => {
                self.known(server)?;
            }
            Step::Set { server, setting } => {
                self.known(server)?;
                Server::new("trial", Vec::new()).set(setting)?;
            }
            _ => {}
        }
        self.steps.push((head.place.clone(), step));
        Ok(())
    }

    fn known(&self, server: &str) -> Result<(), String> {
        let known = server == "total" || self.servers.iter().any(|known| known.name == server);
        if known { Ok(()) } else { Err(format!("there is no server `{server}`")) }
    }
}

/// A zone as a scenario has it.
struct Written {
    apex: Name,
    plan: Option<Plan>,
    records: Vec<Record>,
}

/// Addresses, settings, zones and rules.
fn describe(server: &mut Server, words: &[&str], block: &[Line]) -> Result<(), String> {
    for word in words {
        match word.parse::<IpAddr>() {
            Ok(ip) => server.addresses.push(ip),
            Err(_) => server.set(word)?,
        }
    }
    let mut zone: Option<Written> = None;
    let mut rule: Option<Rule> = None;
    each(block, |line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words[0] == "zone" || words[0] == "when" {
            finish_zone(server, &mut zone)?;
            server.rules.extend(rule.take());
        }
        match (words[0], &mut zone, &mut rule) {
            ("zone", ..) => {
                let apex = text::name(words.get(1).copied().unwrap_or(""))?;
                let plan = words.get(2..).filter(|words| !words.is_empty());
                let plan = plan.map(|words| Plan::parse(&words.join(" "))).transpose()?;
                zone = Some(Written { apex, plan, records: Vec::new() });
            }
            ("when", ..) => rule = Some(Rule::parse(&words[1..])?),
            (_, Some(Written { records, .. }), _) => records.push(text::record(line)?),
            (_, _, Some(rule)) => rule.actions.push(Action::parse(line)?),
            _ => return Err("a server's lines belong to a `zone` or a `when`".to_string()),
        }
        Ok(())
    })?;
    finish_zone(server, &mut zone)?;
    server.rules.extend(rule);
    Ok(())
}

/// The zone is the server's now, or its records join those it has.
fn finish_zone(server: &mut Server, written: &mut Option<Written>) -> Result<(), String> {
    let Some(Written { apex, plan, records }) = written.take() else { return Ok(()) };
    match server.zones.iter_mut().find(|zone| zone.apex == apex) {
        Some(zone) => {
            zone.plan = plan.or(zone.plan.take());
            zone.add(records)
        }
        None => {
            let mut zone = Zone::new(apex, records)?;
            zone.plan = plan;
            server.zones.push(zone);
            Ok(())
        }
    }
}

/// Every line of a block, errors with their place.
fn each(block: &[Line], mut take: impl FnMut(&str) -> Result<(), String>) -> Result<(), String> {
    for line in block {
        take(&line.text).map_err(|what| format!("{}:{}: {what}", line.place.file, line.place.line))?;
    }
    Ok(())
}

fn address(word: &str) -> Result<IpAddr, String> {
    word.parse().map_err(|_| format!("`{word}` is no address"))
}

/// The lines of a file, `use WORLD` replaced by that world's.
fn read_lines(path: &Path, lines: &mut Vec<Line>) -> Result<(), String> {
    let file = path.to_string_lossy().replace(concat!(env!("CARGO_MANIFEST_DIR"), "/"), "");
    let content = std::fs::read_to_string(path).map_err(|error| format!("{file}: {error}"))?;
    take_lines(&file, &content, lines)
}

fn take_lines(file: &str, content: &str, lines: &mut Vec<Line>) -> Result<(), String> {
    for (number, raw) in content.lines().enumerate() {
        let text = raw.trim();
        if text.is_empty() || text.starts_with(';') || text.starts_with('#') {
            continue;
        }
        if let Some(world) = text.strip_prefix("use ") {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/worlds");
            read_lines(&folder.join(format!("{world}.world")), lines)?;
            continue;
        }
        let place = Place { file: file.to_string(), line: number + 1 };
        lines.push(Line { place, text: text.to_string(), indented: raw.starts_with(char::is_whitespace) });
    }
    Ok(())
}

fn step(words: &[&str], block: &[Line]) -> Result<Step, String> {
    let time = |at: usize| text::duration(words.get(at).copied().unwrap_or(""));
    let word = |at: usize| words.get(at).map(ToString::to_string).ok_or("a word is missing".to_string());
    Ok(match words[0] {
        "at" => Step::At(time(1)?),
        "wait" => Step::Wait(time(1)?),
        "settle" => Step::Settle(if words.len() > 1 { time(1)? } else { Duration::from_secs(120) }),
        "ask" => ask(&words[1..])?,
        "raw" => raw(&words[1..])?,
        "expect" if words.get(1) == Some(&"dropped") => Step::Dropped,
        "expect" if words.get(1) == Some(&"silence") => Step::Silence(time(3)?),
        "expect" => Step::Expect(Box::new(expectation(&words[1..], block)?)),
        "sent" => sent(&words[1..])?,
        "saw" => Step::Saw { server: word(1)?, questions: questions(block)? },
        "unseen" => Step::Unseen { server: word(1)?, name: text::name(&word(2)?)? },
        "reset" => Step::Reset,
        "set" => Step::Set { server: word(1)?, setting: word(2)? },
        "forge" => Step::Forge(word(1)?.parse().map_err(|_| "write `forge N`".to_string())?),
        "gone" => Step::Gone,
        "notice" => Step::Notice(word(1)?),
        other => return Err(format!("`{other}` begins nothing known")),
    })
}

fn number<T: std::str::FromStr>(word: Option<&&str>) -> Result<T, String> {
    let word = word.ok_or("a number is missing")?;
    word.parse().map_err(|_| format!("`{word}` is no number"))
}

/// The options common to `ask` and `raw`.
fn sender(word: &str, value: Option<&&str>) -> Result<SocketAddr, String> {
    let value = value.ok_or_else(|| format!("`{word}` needs an address"))?;
    value.parse().or_else(|_| address(value).map(|ip| SocketAddr::new(ip, 40_000)))
}

fn ask(words: &[&str]) -> Result<Step, String> {
    let [name, rtype, options @ ..] = words else { return Err("write `ask NAME TYPE`".to_string()) };
    let mut query = Query::new(text::name(name)?, text::record_type(rtype)?, 0);
    let opt = |query: &mut Query, change: &dyn Fn(&mut Opt)| {
        if let Some(opt) = &mut query.edns {
            change(opt);
        }
    };
    let (mut from, mut transport, mut times) = (None, Transport::Udp, 1);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "tcp" => transport = Transport::Tcp,
            "from" => from = Some(sender(option, options.next())?),
            "do" => opt(&mut query, &|opt| opt.dnssec_ok = true),
            "cd" => query.cd = true,
            "ad" => query.ad = true,
            "nord" => query.rd = false,
            "qr" => query.qr = true,
            "noedns" => query.edns = None,
            "size" => {
                let size = number(options.next())?;
                opt(&mut query, &|opt| opt.size = size);
            }
            "edns-version" => {
                let version = number(options.next())?;
                opt(&mut query, &|opt| opt.version = version);
            }
            "class" => {
                query.qclass = match options.next() {
                    Some(&"CH") => 3,
                    Some(&"ANY") => 255,
                    other => number(other)?,
                }
            }
            "opcode" => query.opcode = number(options.next())?,
            "option" => {
                let code = number(options.next())?;
                let data = text::hex(options.next().copied().filter(|hex| *hex != "-").unwrap_or(""))?;
                opt(&mut query, &|opt| opt.options.push((code, data.clone())));
            }
            "times" => times = number(options.next())?,
            other => return Err(format!("`ask` has no `{other}`")),
        }
    }
    Ok(Step::Ask { query, from, transport, times })
}

fn raw(words: &[&str]) -> Result<Step, String> {
    let (mut packet, mut from, mut transport) = (Vec::new(), None, Transport::Udp);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "tcp" => transport = Transport::Tcp,
            "from" => from = Some(sender(word, words.next())?),
            digits => packet.extend(text::hex(digits)?),
        }
    }
    Ok(Step::Raw { packet, from, transport })
}

fn sent(words: &[&str]) -> Result<Step, String> {
    let [server, bound @ ..] = words else { return Err("write `sent SERVER N`".to_string()) };
    let (least, most) = match bound {
        ["<=", most] => (0, number(Some(most))?),
        [">=", least] => (number(Some(least))?, usize::MAX),
        [exactly] => (number(Some(exactly))?, number(Some(exactly))?),
        _ => return Err("write `sent SERVER N`, `sent SERVER <= N` or `sent SERVER >= N`".to_string()),
    };
    Ok(Step::Sent { server: (*server).to_string(), least, most })
}

fn questions(block: &[Line]) -> Result<Vec<(Name, Option<RecordType>)>, String> {
    let mut questions = Vec::new();
    each(block, |line| {
        let mut rest = line;
        let name = text::name(text::word(&mut rest))?;
        questions.push((name, if rest == "*" { None } else { Some(text::record_type(rest)?) }));
        Ok(())
    })?;
    Ok(questions)
}

fn expectation(words: &[&str], block: &[Line]) -> Result<Expectation, String> {
    let [rcode, options @ ..] = words else { return Err("write `expect RCODE`".to_string()) };
    text::response_code(rcode)?;
    let mut wanted = Expectation {
        rcode: (*rcode).to_string(),
        flags: Vec::new(),
        within: None,
        after: None,
        times: 1,
        any: false,
        in_order: false,
        edns: None,
        largest: None,
        answers: Vec::new(),
        authorities: None,
        additionals: None,
        extended_errors: Vec::new(),
        no_extended_error: false,
        options: Vec::new(),
    };
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let mut value = || options.next().copied().ok_or_else(|| format!("`{option}` needs a value"));
        match *option {
            "within" => wanted.within = Some(text::duration(value()?)?),
            "after" => wanted.after = Some(text::duration(value()?)?),
            "times" => wanted.times = number(options.next())?,
            "any" => wanted.any = true,
            "in-order" => wanted.in_order = true,
            "edns" => wanted.edns = Some(true),
            "noedns" => wanted.edns = Some(false),
            "largest" => wanted.largest = Some(number(options.next())?),
            "ede" => wanted.extended_errors.push(number(options.next())?),
            "no-ede" => wanted.no_extended_error = true,
            flag => {
                let (name, on) = flag.strip_prefix('!').map_or((flag, true), |name| (name, false));
                if !["aa", "tc", "rd", "ra", "ad", "cd", "do"].contains(&name) {
                    return Err(format!("`expect` has no `{option}`"));
                }
                wanted.flags.push((name.to_string(), on));
            }
        }
    }
    each(block, |line| wanted.line(line))?;
    Ok(wanted)
}

impl Expectation {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let mut rest = line;
        let section = text::word(&mut rest);
        let list = match section {
            "answer" => &mut self.answers,
            "authority" => self.authorities.get_or_insert_default(),
            "additional" => self.additionals.get_or_insert_default(),
            "option" => {
                let code = number(Some(&text::word(&mut rest)))?;
                self.options.push((code, if rest == "*" { None } else { Some(text::hex(rest)?) }));
                return Ok(());
            }
            other => return Err(format!("`{other}` is no section")),
        };
        if rest != "none" {
            list.push(text::wanted(rest)?);
        }
        Ok(())
    }
}
