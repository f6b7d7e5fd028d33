//! Where a run takes place: the small Internet with the scenario's zones and faults, the resolver, and the meters.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use maeslant::admission::Policy;
use maeslant::config::{self, Settings, special};
use maeslant::daemon;
use maeslant::dnssec::Anchors;
use maeslant::lab::sign::Plan;
use maeslant::lab::{self, Addition, Atlas, Behaviour, Beyond, Fault, World};
use maeslant::load::outcome::Sample;
use maeslant::load::packet::Known;
use maeslant::load::process::{Process, Use};
use maeslant::load::run::is_enclosed;
use maeslant::load::scenario::{Action, FaultEntry, FaultPlace, NameSource, Names, Subject, Traffic};
use maeslant::load::stalls::Stalls;
use maeslant::load::{Popular, Scenario};
use maeslant::text;
use maeslant::wire::Name;

use super::child::{Resolver, Validation, Which};

/// Everything around the traffic.
pub struct Stage {
    pub world: Option<World>,
    resolver: Option<daemon::Handle>,
    pub target: SocketAddr,
    /// What answers, with its version.
    pub server: String,
    process: Option<Process>,
    meter: Meter,
    /// Which faults are in force.
    active: Vec<bool>,
    /// A resolver in a process of its own.
    child: Option<Resolver>,
    /// It ended by itself.
    ended: bool,
    /// Events of the scenario that have happened.
    happened: usize,
    /// What went wrong with them.
    mishaps: Vec<String>,
}

/// The last reading of the meters.
#[derive(Default)]
struct Meter {
    upstream: u64,
    zones: BTreeMap<String, u64>,
    used: Option<Use>,
    stalls: Option<Stalls>,
}

/// Why there is no stage, and the exit code for it.
pub type Failure = (String, u8);

/// The numbers that `{n}` stands for in a zone's name.
fn numbered(name: &str, count: u32) -> Vec<String> {
    if !name.contains("{n}") {
        return vec![name.to_owned()];
    }
    (1..=count).map(|n| name.replace("{n}", &n.to_string())).collect()
}

/// Every zone that a pattern of the scenario stands for.
fn zones(scenario: &Scenario, pattern: &str) -> Vec<String> {
    let entry = scenario.zones.iter().find(|zone| zone.name == pattern);
    numbered(pattern, entry.map_or(1, |zone| zone.count))
}

/// The small Internet of a scenario.
pub fn atlas(scenario: &Scenario) -> Result<Atlas, String> {
    let mut atlas = Atlas::new(usize::from(scenario.sites));
    for zone in &scenario.zones {
        for origin in numbered(&zone.name, zone.count) {
            let (kind, records) = (zone.kind.to_owned(), zone.records.clone());
            if let Some(how) = &zone.signed {
                atlas.plans.insert(origin.clone(), plan(how)?);
            }
            atlas.add(&Addition { origin, kind, size: zone.size, records })?;
        }
    }
    places(scenario, &atlas)?;
    Ok(atlas)
}

/// How a zone is signed: `13 nsec3=50`, or the flaws it is signed with.
pub fn plan(text: &str) -> Result<Plan, String> {
    let (algorithm, rest) = text.split_once(' ').unwrap_or((text, ""));
    if algorithm.is_empty() || !algorithm.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err("the first word is the number of an algorithm, such as 13".to_owned());
    }
    Plan::parse(&format!("signed={algorithm} {rest}"))
}

/// Whether the zones and servers that faults and expectations name are there: one that is not would never be faulty, and
/// never be asked too much.
fn places(scenario: &Scenario, atlas: &Atlas) -> Result<(), String> {
    let unknown = |entry: &str, kind: &str, name: &str, known: &[&str]| {
        let near = text::nearest(name, known.iter().copied());
        let near = near.map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"));
        format!("{entry}: the lab has no {kind} \"{name}\"{near}")
    };
    // Both of a pair that point at each other are asked of their parent.
    let pairs = |zone: &str| scenario.zones.iter().any(|entry| entry.kind == "tsuname" && entry.name == zone);
    let zones: Vec<&str> = atlas.zones.iter().map(|zone| zone.origin.as_str()).collect();
    let servers: Vec<&str> = atlas.servers.iter().map(|server| server.name.as_str()).collect();
    let check = |entry: &str, pattern: &str| {
        let missing = self::zones(scenario, pattern).into_iter().find(|zone| !zones.contains(&zone.as_str()));
        missing.filter(|_| !pairs(pattern)).map(|zone| unknown(entry, "zone", &zone, &zones))
    };
    let mut errors = Vec::new();
    for fault in &scenario.faults {
        match &fault.place {
            FaultPlace::Zone(zone) => errors.extend(check("[[fault]]", zone)),
            FaultPlace::Server(name) if !servers.iter().any(|known| known.eq_ignore_ascii_case(name)) => {
                errors.push(unknown("[[fault]]", "server", name, &servers));
            }
            FaultPlace::Server(_) | FaultPlace::Everywhere => {}
        }
    }
    for expect in &scenario.expects {
        if let Subject::Upstream { zone: Some(zone), .. } = &expect.subject {
            errors.extend(check(&format!("[[expect]] in line {}", expect.line), zone));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors.join("\nerror: ")) }
}

/// The resolver's settings as the scenario has them.
pub fn resolver(scenario: &Scenario) -> Result<Settings, String> {
    let Some(text) = &scenario.resolver else { return Ok(Settings::default()) };
    match config::examine(text, Path::new("[resolver] config")) {
        (Some(settings), _) => Ok(settings),
        (None, report) => Err(report.human(false)),
    }
}

/// Where clients come from that a resolver serves only where it is told to.
pub fn strangers(scenario: &Scenario) -> impl Iterator<Item = IpNet> {
    let sources = scenario.streams.iter().flat_map(|stream| stream.sources.iter().copied());
    sources.filter(|net| !net.addr().is_loopback())
}

/// Whom a resolver that is started for a run must not ask: where something could leave this machine, everybody but the
/// servers of the small Internet.
pub fn barred() -> Vec<IpNet> {
    if is_enclosed() { Vec::new() } else { special::beyond_loopback() }
}

/// Whether a resolver with these settings asks this machine alone.
///
/// # Errors
/// It forwards to others, and this is no network of its own.
pub fn stays_here(settings: &Settings) -> Result<(), String> {
    let upstreams = settings.engine.resolve.upstreams.iter();
    let others = upstreams.flat_map(|up| up.servers.iter().map(move |server| (&up.zone, server.ip())));
    let mut others = others.filter(|(_, server)| !server.is_loopback() && !is_enclosed());
    others.next().map_or(Ok(()), |(zone, server)| {
        Err(format!(
            "[resolver] config sends questions for {zone} to {server}, which is not on this machine: run it with \
             --own-network"
        ))
    })
}

/// The resolver's settings: the scenario's, with the lab's root and port, and loopback addresses fair to ask.
fn settings(scenario: &Scenario, listen: SocketAddr, world: &World) -> Result<Settings, String> {
    let mut settings = resolver(scenario)?;
    let allow = &mut settings.engine.access.allow;
    if *allow == Policy::default().allow {
        allow.extend(strangers(scenario));
    }
    settings.listener.listen = vec![listen];
    settings.engine.resolve.root_hints = world.root_hints();
    settings.engine.resolve.server_port = world.port();
    settings.engine.resolve.do_not_query = barred();
    stays_here(&settings)?;
    if settings.trust_anchors_file.is_none() {
        // The lab's root is not the one whose keys are compiled in.
        settings.engine.resolve.dnssec.anchors = Anchors::parse(world.anchors()).unwrap_or_default();
    }
    Ok(settings)
}

impl Stage {
    /// Someone else's resolver. With `lab_port`, the small Internet's servers beside it, which it must ask.
    pub fn foreign(
        scenario: &Scenario,
        target: SocketAddr,
        pid: Option<u32>,
        lab_port: Option<u16>,
    ) -> Result<Stage, Failure> {
        let world = lab_port.map(|port| start_world(scenario, port, false)).transpose()?;
        Ok(Stage {
            world,
            resolver: None,
            target,
            server: "the target".to_owned(),
            process: pid.map(|pid| Process::Others(vec![pid])),
            meter: Meter::default(),
            active: vec![false; scenario.faults.len()],
            child: None,
            ended: false,
            happened: 0,
            mishaps: Vec::new(),
        })
    }

    /// The small Internet with this program's resolver in front of it, in this process.
    pub fn own(scenario: &Scenario, listen: SocketAddr, lab_port: u16) -> Result<Stage, Failure> {
        let world = start_world(scenario, lab_port, false)?;
        let settings = settings(scenario, listen, &world).map_err(|error| (error, super::super::UNUSABLE))?;
        let resolver = daemon::start(settings).map_err(|error| (error.to_string(), error.exit() as u8))?;
        let target = resolver.addresses().first().copied().unwrap_or(listen);
        Ok(Stage {
            world: Some(world),
            resolver: Some(resolver),
            target,
            server: format!("maeslant {}", env!("CARGO_PKG_VERSION")),
            process: Some(Process::Threads(vec!["shard-"])),
            meter: Meter::default(),
            active: vec![false; scenario.faults.len()],
            child: None,
            ended: false,
            happened: 0,
            mishaps: Vec::new(),
        })
    }

    /// A resolver in a process of its own, in front of a small Internet that runs already.
    pub fn beside(scenario: &Scenario, world: World, target: SocketAddr, resolver: Resolver, server: String) -> Stage {
        Stage {
            world: Some(world),
            resolver: None,
            target,
            server,
            process: Some(Process::Others(resolver.pids())),
            meter: Meter::default(),
            active: vec![false; scenario.faults.len()],
            child: Some(resolver),
            ended: false,
            happened: 0,
            mishaps: Vec::new(),
        }
    }

    /// The small Internet with this program's resolver in front of it, in a process of its own, to which things can
    /// happen.
    pub fn apart(scenario: &Scenario, mut listen: SocketAddr, lab_port: u16) -> Result<Stage, Failure> {
        let world = start_world(scenario, lab_port, false)?;
        if listen.port() == 0 {
            // Drawn here, as the resolver must find it free again after a restart.
            let drawn = std::net::UdpSocket::bind(listen).and_then(|socket| socket.local_addr());
            listen = drawn.map_err(|error| (format!("{listen}: {error}"), daemon::Exit::Bind as u8))?;
        }
        let checked = resolver(scenario).and_then(|settings| stays_here(&settings));
        checked.map_err(|error| (error, super::super::UNUSABLE))?;
        let resolver = Resolver::start(Which::Own, scenario, &world, listen, Validation::On)?;
        let version = format!("maeslant {}", env!("CARGO_PKG_VERSION"));
        Ok(Stage::beside(scenario, world, listen, resolver, version))
    }

    /// Whether the resolver was started here.
    pub fn is_own(&self) -> bool {
        self.child.is_some() || self.resolver.is_some()
    }

    /// Lets happen what the scenario has in store up to now.
    pub fn events(&mut self, scenario: &Scenario, elapsed: Duration) {
        let Some(child) = &mut self.child else { return };
        if !self.ended
            && let Some(status) = child.ended()
        {
            self.ended = true;
            self.mishaps
                .push(format!("the resolver ended by itself {} s after the start: {status}", elapsed.as_secs()));
        }
        while let Some(event) = scenario.events.get(self.happened).filter(|event| event.at <= elapsed) {
            self.happened += 1;
            let done = match event.action {
                Action::Restart => child.restart(),
                Action::Reload { records } => child.reload(records),
            };
            if let Err(error) = done {
                self.mishaps.push(format!("the {} at {:?} failed: {error}", event.action.name(), event.at));
            }
            self.process = Some(Process::Others(child.pids()));
            if event.action == Action::Restart {
                self.meter.used = None;
                self.ended = false;
            }
        }
    }

    /// Puts faults in force and takes them away as their time comes.
    pub fn faults(&mut self, scenario: &Scenario, elapsed: Duration) {
        let Some(world) = &self.world else { return };
        let wanted: Vec<bool> = scenario.faults.iter().map(|f| (f.from..f.to).contains(&elapsed)).collect();
        if wanted == self.active {
            return;
        }
        // First what has ended: of two faults in one place, the end of one is not the end of the other.
        for (index, entry) in scenario.faults.iter().enumerate().filter(|(index, _)| self.active[*index]) {
            if !wanted[index] {
                put(world, scenario, entry, false);
            }
        }
        for (index, entry) in scenario.faults.iter().enumerate() {
            if wanted[index] {
                put(world, scenario, entry, true);
            }
        }
        self.active = wanted;
    }

    /// What happened since the last reading, which was `span` ago.
    pub fn sample(&mut self, scenario: &Scenario, span: Duration) -> Sample {
        let mut sample = Sample::default();
        if let Some(world) = &self.world {
            let upstream = world.queries();
            sample.upstream = upstream - self.meter.upstream;
            self.meter.upstream = upstream;
            for expect in &scenario.expects {
                let Subject::Upstream { zone: Some(pattern), .. } = &expect.subject else { continue };
                if sample.zones.contains_key(pattern) {
                    continue;
                }
                let now: u64 = zones(scenario, pattern).iter().map(|zone| world.zone_queries(zone)).sum();
                let before = self.meter.zones.insert(pattern.clone(), now).unwrap_or(0);
                sample.zones.insert(pattern.clone(), now - before);
            }
        }
        if let Some(used) = self.process.as_ref().and_then(Process::read) {
            let before = self.meter.used.replace(used).unwrap_or(used);
            sample.cpu = Some(used.cpu.saturating_sub(before.cpu).as_secs_f64() / span.as_secs_f64().max(0.001));
            sample.memory = Some(used.memory);
        }
        let stalls = self.meter.stalls.get_or_insert_with(Stalls::watch);
        sample.stalls = stalls.take().iter().map(|stall| stall.length().as_secs_f64()).collect();
        sample
    }

    /// What a reader should know of the meters.
    pub fn notes(&self) -> Vec<String> {
        let note = "memory is that of one process: the resolver, the small Internet, and who asks";
        let own = self.resolver.is_some().then(|| note.to_owned());
        own.into_iter().chain(self.mishaps.iter().cloned()).collect()
    }

    /// Ends what was started here.
    pub fn close(self) {
        if let Some(resolver) = self.resolver {
            // What it has to say of its end is in the log; the verdict stands.
            let _ = resolver.shutdown();
        }
    }
}

/// Puts a fault in force, or takes it away.
fn put(world: &World, scenario: &Scenario, entry: &FaultEntry, on: bool) {
    let word = entry.behaviour.unwrap_or("honest");
    let behaviour = Behaviour::ALL.iter().find(|(name, _)| *name == word).map(|(_, b)| *b).unwrap_or_default();
    let word = entry.beyond.unwrap_or("drop");
    let beyond = Beyond::ALL.iter().find(|(name, _)| *name == word).map(|(_, b)| *b).unwrap_or_default();
    let (delay, jitter, loss, rate_limit) = (entry.delay, entry.jitter, entry.drop, entry.rate_limit);
    let fault = Fault { delay, jitter, loss, behaviour, rate_limit, beyond };
    let fault = on.then_some(fault);
    match &entry.place {
        FaultPlace::Everywhere => world.fault_everywhere(fault),
        FaultPlace::Zone(pattern) => {
            for zone in zones(scenario, pattern) {
                world.fault_zone(&zone, fault.clone());
            }
        }
        FaultPlace::Server(name) => {
            // What is always wrong with it comes back.
            let own = || world.atlas().servers.iter().find(|s| s.name.eq_ignore_ascii_case(name));
            let fault = fault.or_else(|| own().map(|server| server.fault.clone()));
            world.fault_server(name, &fault.unwrap_or_default());
        }
    }
}

/// Starts the small Internet of a scenario; `renumbered` outside loopback, in a network of its own.
pub fn start_world(scenario: &Scenario, port: u16, renumbered: bool) -> Result<World, Failure> {
    let mut atlas = atlas(scenario).map_err(|error| (error, super::super::UNUSABLE))?;
    if renumbered {
        atlas.renumber();
    }
    let options = lab::Options { port, sites: usize::from(scenario.sites), seed: scenario.seed };
    World::of(atlas, &options).map_err(|error| match error {
        lab::StartError::Bind { .. } => (error.to_string(), daemon::Exit::Bind as u8),
        // A zone that cannot be read is the scenario's: the lab's own are tested.
        lab::StartError::Zone { .. } => (error.to_string(), super::super::UNUSABLE),
        lab::StartError::Thread(_) => (error.to_string(), 1),
    })
}

/// The popular sites with what must come out, where a stream asks for them.
pub fn popular(scenario: &Scenario) -> Result<Vec<Popular>, Failure> {
    let names = |traffic: &Traffic| match traffic {
        Traffic::Names(names)
        | Traffic::Reflection { names }
        | Traffic::Malformed { names, .. }
        | Traffic::EdnsBomb { names, .. }
        | Traffic::Responses { names }
        | Traffic::Connections { names, .. } => matches!(names, Names { from: NameSource::Popular, .. }),
        _ => false,
    };
    if !scenario.streams.iter().any(|stream| names(&stream.traffic)) {
        return Ok(Vec::new());
    }
    let wishes = lab::popular(usize::from(scenario.sites)).map_err(|error| (error.to_string(), 1))?;
    let popular = wishes.into_iter().filter_map(|wish| {
        let known = Known {
            rcode: u16::from(wish.expected.rcode()),
            records: wish.expected == lab::Expected::Records,
            addresses: wish.addresses,
        };
        Some(Popular { name: Name::parse(&wish.name).ok()?, rtype: wish.rtype, weight: wish.weight, known })
    });
    Ok(popular.collect())
}
