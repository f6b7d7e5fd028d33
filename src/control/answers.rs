//! The answers to an operator's questions, as JSON; times are seconds ago.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::PoisonError;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Sifted, Told, Word};
use crate::admission::{
    Action, Decision, Level, Mode, Paid, Policy, Reason, Signal, TRUSTED, ToldZone, Why, zone_above,
};
use crate::clock::Moment;
use crate::engine::DropReason;
use crate::meter::{Load, source_of};
use crate::resolve::{Limit, StaleWhy};
use crate::servers::Known;
use crate::text::units::{write_duration, write_part};
use crate::wire::{Name, wire_name_len};

/// Refusals that are looked at for one explanation.
const LOOKED_AT: usize = 100_000;
/// Refusals and addresses that are shown one by one.
const SHOWN: usize = 20;

impl Told {
    /// Answers one line.
    pub fn answer(&self, line: &str, now: Moment) -> Value {
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("status"), None, None) => self.status(now),
            (Some("explain"), Some(what), None) => match (what.parse::<IpAddr>(), Name::parse(what)) {
                (Ok(address), _) => self.explain_address(address, now),
                (Err(_), Ok(name)) => self.explain_name(&name, now),
                (Err(_), Err(error)) => json!({"error": format!("neither an address nor a name: {error}")}),
            },
            (Some("reload"), None, None) => self.reload(false, now),
            (Some("try"), Some("reload"), None) => self.reload(true, now),
            _ => json!({
                "error": "not a question: expected `status`, `explain ADDRESS`, `explain NAME`, `reload` or `try reload`"
            }),
        }
    }

    /// Has the configuration read again, or only tries it.
    pub fn reload(&self, only_try: bool, now: Moment) -> Value {
        let Some(reload) = &self.reload else { return json!({"error": "this server has nothing to read again"}) };
        let result = reload(only_try);
        if !only_try {
            *self.reloaded.lock().unwrap_or_else(PoisonError::into_inner) = Some((result.is_ok(), now));
        }
        result.unwrap_or_else(|problems| json!({"error": format!("nothing has changed: {}", problems.trim())}))
    }

    fn status(&self, now: Moment) -> Value {
        let words = self.words();
        let hardest = words.iter().max_by_key(|word| word.level).copied().unwrap_or_default();
        let sum = |count: fn(&Word) -> u64| words.iter().map(count).sum::<u64>();
        let by_reason = |count: fn(&Word) -> &[u64; Reason::COUNT]| {
            let total = |reason: Reason| words.iter().map(|word| count(word)[reason as usize]).sum::<u64>();
            let counts = Reason::ALL.into_iter().map(|reason| (reason.name().to_owned(), json!(total(reason))));
            Value::Object(counts.collect())
        };
        let dropped: Map<String, Value> = DropReason::ALL
            .into_iter()
            .map(|reason| {
                let total: u64 = words.iter().map(|word| word.counters.dropped[reason as usize]).sum();
                (reason.name().to_owned(), json!(total))
            })
            .collect();
        let stale: Map<String, Value> = StaleWhy::ALL
            .into_iter()
            .map(|why| {
                (why.name().to_owned(), json!(words.iter().map(|word| word.counters.stale[why as usize]).sum::<u64>()))
            })
            .collect();
        let shard = |(number, word): (usize, &Word)| {
            json!({
                "shard": number, "level": word.level.name(), "since": seconds(now, word.since),
                "queries": word.counters.queries, "answered": word.counters.answered, "waiting": word.counters.waiting,
            })
        };
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "up": seconds(now, self.start),
            "level": hardest.level.name(),
            "cause": cause(&hardest, &self.policy()),
            "since": if hardest.level == Level::Open { Value::Null } else { json!(seconds(now, hardest.since)) },
            "queries": sum(|word| word.counters.queries),
            "answered": sum(|word| word.counters.answered),
            "waiting": sum(|word| word.counters.waiting),
            "gone": sum(|word| word.counters.gone),
            "cache_hits": sum(|word| word.counters.cache_hits),
            "deduced": sum(|word| word.counters.deduced),
            "stale": stale,
            "stale_observed": sum(|word| word.counters.stale_observed),
            "over_budget": over_budget(&words),
            "cache_shares": {
                "turned_away": self.shared.cache.turned_away(), "seldom": self.shared.cache.seldom(),
                "observed": self.shared.cache.observed(),
                "setting": "limits.shares",
            },
            "paced": sum(|word| word.counters.paced),
            "dropped": dropped,
            "rejected": {
                "formerr": sum(|word| word.counters.formerr), "notimp": sum(|word| word.counters.notimp),
            },
            "strangers": self.shared.books.strangers(now).name(),
            "proven": sum(|word| word.counters.door.proven),
            "unproven": sum(|word| word.counters.door.unproven),
            "turned_away": by_reason(|word| &word.counters.door.turned),
            "observed": by_reason(|word| &word.counters.door.observed),
            "slipped": sum(|word| word.counters.door.slipped),
            "refused": sum(|word| word.counters.door.refused),
            "closed": sum(|word| word.counters.door.closed),
            "failed": sum(|word| word.counters.door.failed),
            "given_stale": sum(|word| word.counters.door.stale),
            "last_reload": self.reloaded.lock().unwrap_or_else(PoisonError::into_inner).map(|(well, when)| json!({
                "successful": well, "ago": seconds(now, when),
            })),
            "last_snapshot": self.kept.lock().unwrap_or_else(PoisonError::into_inner).map(|(kept, when)| json!({
                "successful": kept.is_some(), "records": kept.map(|kept| kept.records),
                "octets": kept.map(|kept| kept.octets), "ago": seconds(now, when),
            })),
            "sockets": self.sockets.as_ref().map(|count| {
                Value::Object(count().into_iter().map(|(name, count)| (name.to_owned(), json!(count))).collect())
            }),
            "zones": mode(self.policy().limits.zones),
            "learned": learned(self.shared.books.zones().learned()),
            "prefetch": {
                "refreshed": sum(|word| word.counters.refreshed), "left_to_end": sum(|word| word.counters.left_to_end),
                "setting": "cache.prefetch",
            },
            "refusals_kept": self.shared.books.decisions().kept(),
            "limited_servers": self.shared.servers.limited(SHOWN, now).iter().map(server).collect::<Vec<_>>(),
            "kernel_filter": self.sifted().iter().take(SHOWN).map(|one| sifted(one, now)).collect::<Vec<_>>(),
            "flooded": self.shared.books.zones().list(SHOWN, now).iter().map(|zone| told(zone, now)).collect::<Vec<_>>(),
            "shards": words.iter().enumerate().map(shard).collect::<Vec<_>>(),
        })
    }

    fn explain_address(&self, address: IpAddr, now: Moment) -> Value {
        let policy = self.policy();
        let account = self.shared.books.account_of(&policy, address, now);
        let burst = policy.limits.burst().as_secs_f64();
        let part_of = |burst: f64, loads: &[(u8, Load)]| {
            let part = |load: Load| Duration::from_nanos(load.0).as_secs_f64() / burst;
            let one = |(length, load): &(u8, Load)| json!({"prefix": length, "used": (part(*load) * 100.0).round()});
            loads.iter().map(one).collect::<Vec<_>>()
        };
        let used = |loads: &[(u8, Load)]| part_of(burst, loads);
        // Of work upstream half a burst may be used at once.
        let worked = |loads: &[(u8, Load)]| part_of(burst / 2.0, loads);
        let found = self.shared.books.decisions().of_address(address, LOOKED_AT);
        json!({
            "address": address.to_canonical().to_string(),
            "allowed": account.allowed,
            "class": account.class,
            "known": account.known,
            "shares": account.crowd,
            "shares_proven": account.crowd_proven,
            "standing": {"points": account.points, "needed": TRUSTED, "ordinary": account.ordinary},
            "flooded_zones": {
                "unproven": paid(&account.paid[0]), "proven": paid(&account.paid[1]), "setting": "limits.zone_clients",
            },
            "unproven": used(&account.unproven),
            "proven": used(&account.proven),
            "upstream": {"unproven": worked(&account.work[0]), "proven": worked(&account.work[1])},
            "kernel_filter": self.sifted().iter().find(|one| one.source == source_of(address.to_canonical()))
                .map(|one| sifted(one, now)),
            "refusals": reasons(&found, &policy, now),
            "last": last(&found, now),
            "servers": self.shared.servers.at(address.to_canonical(), now).iter().map(server).collect::<Vec<_>>(),
        })
    }

    fn explain_name(&self, name: &Name, now: Moment) -> Value {
        let found = self.shared.books.decisions().of_name(name.wire(), LOOKED_AT);
        let mut clients: BTreeMap<IpAddr, u64> = BTreeMap::new();
        for decision in &found {
            *clients.entry(decision.address).or_default() += u64::from(decision.times);
        }
        let mut clients: Vec<(IpAddr, u64)> = clients.into_iter().collect();
        clients.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
        let total = clients.len();
        clients.truncate(SHOWN);
        let one = |(address, times): &(IpAddr, u64)| json!({"address": address.to_string(), "times": times});
        let policy = self.policy();
        let limits = &policy.limits;
        json!({
            "name": name.to_string(),
            "exempt": zone_above(&limits.exempt_zones, name.wire()).map(|zone| json!({
                "zone": zone.to_string(), "setting": "limits.exempt_zones",
            })),
            "mode": mode(limits.zones),
            "learned": self.shared.books.zones().is_learned(name.wire(), now),
            "zones": self.shared.books.zones().around(name.wire(), now).iter().map(|zone| told(zone, now)).collect::<Vec<_>>(),
            "refusals": reasons(&found, &self.policy(), now),
            "clients": total,
            "most": clients.iter().map(one).collect::<Vec<_>>(),
            "last": last(&found, now),
        })
    }
}

/// Questions that used up a budget, by the budget.
fn over_budget(words: &[Word]) -> Value {
    let total = |limit: Limit| words.iter().map(|word| word.counters.upstream.over_budget[limit as usize]).sum::<u64>();
    Value::Object(Limit::ALL.into_iter().map(|limit| (limit.name().to_owned(), json!(total(limit)))).collect())
}

/// A server, as it is known.
fn server(known: &Known) -> Value {
    let whole = |rate: f32| f64::from(rate).round();
    json!({
        "server": known.server.to_string(),
        "rtt": (known.rtt.as_secs_f64() * 1e4).round() / 10.0,
        "answered_packets": whole(known.pace.answers), "lost_packets": whole(known.pace.losses),
        "in_flight": known.pace.in_flight,
        "quota": known.pace.quota.map(whole),
        "silences": known.silences, "left_alone": known.left_alone,
        "setting": "limits.servers",
    })
}

/// A source of whose packets the kernel drops a part.
fn sifted(one: &Sifted, now: Moment) -> Value {
    let percent = |part: f32| (f64::from(part) * 1000.0).round() / 10.0;
    let length = if one.source.is_ipv4() { 32 } else { 64 };
    json!({
        "source": format!("{}/{length}", one.source),
        "packets": one.rate.round(),
        "passes": percent(one.passes), "cookies_pass": percent(one.cookies_pass), "good_cookies": one.spared,
        "since": seconds(now, one.since),
        "setting": "limits.kernel_filter",
    })
}

/// A zone's name, of which only the beginning may be there.
fn zone_name(wire: &[u8]) -> String {
    let name = wire_name_len(wire).and_then(|length| Name::from_wire(wire.get(..length)?));
    name.map_or_else(|| "(a long name)".to_owned(), |name| name.to_string())
}

/// How many names are known to exist, at least and at most: those of whose learning it is not known whether it was again.
fn learned((least, most, octets): (u64, u64, usize)) -> Value {
    json!({"at_least": least, "at_most": most, "octets": octets, "setting": "limits.learned_memory"})
}

/// What was used of accounts with flooded zones, in percent.
fn paid(paid: &Paid) -> Value {
    let percent = |part: f32| (f64::from(part) * 100.0).round();
    let one = |(zone, part): &(Vec<u8>, f32)| json!({"zone": zone_name(zone), "used": percent(*part)});
    json!({"used": percent(paid.all), "zones": paid.each.iter().map(one).collect::<Vec<_>>()})
}

/// A zone's account.
fn told(zone: &ToldZone, now: Moment) -> Value {
    let whole = |rate: f32| f64::from(rate).round();
    json!({
        "zone": zone_name(&zone.name),
        "flooded": zone.since.map(|since| seconds(now, since)),
        "why": zone.why.map(|why| match why {
            Why::Absent => "names never seen before are asked for that do not exist",
            Why::Stuck => "names never seen before are asked for, and nothing comes back",
            Why::Losing => "names never seen before are asked for, and the servers lose packets",
        }),
        "asked": whole(zone.asked), "distinct": whole(zone.distinct),
        "found": whole(zone.found), "absent": whole(zone.absent), "failed": whole(zone.failed),
        "answered_packets": whole(zone.heard), "lost_packets": whole(zone.silent),
        "in_flight": zone.in_flight,
        "quota": zone.since.map(|_| whole(zone.quota)),
        "refused": zone.refused,
        "setting": "limits.zones",
    })
}

/// Why the level that holds is not open, and from where on it holds.
fn cause(word: &Word, policy: &Policy) -> Value {
    let (Some(signal), Some(rules)) = (word.cause, policy.limits.levels.at(word.level)) else { return Value::Null };
    let mark = match signal {
        Signal::Busy => Some(rules.busy),
        Signal::Dropped => Some(rules.dropped),
        Signal::Queue => Some(rules.queue),
        Signal::InFlight => Some(rules.in_flight),
        Signal::Memory => Some(rules.memory),
        Signal::Backlog | Signal::Delay => None,
    };
    let mark = match signal {
        Signal::Delay => Some(write_duration(rules.delay)),
        _ => mark.map(write_part),
    };
    json!({
        "text": signal.text(),
        "setting": signal.key().map(|key| format!("level.{}.{key}", word.level.name())),
        "value": mark,
        "measures": {
            "share": write_part(rules.share), "strangers": write_part(rules.strangers), "ration": write_part(rules.ration),
            "tcp_idle": write_part(rules.tcp_idle),
        },
    })
}

/// What decides a refusal too, of the level that it came at.
fn measure(reason: Reason, level: Level, policy: &Policy) -> Value {
    let (Some(key), Some(rules)) = (reason.measure(level), policy.limits.levels.at(level)) else { return Value::Null };
    let value = match key {
        "share" => rules.share,
        "strangers" => rules.strangers,
        "tcp_idle" => rules.tcp_idle,
        _ => rules.ration,
    };
    json!({"setting": format!("level.{}.{key}", level.name()), "value": write_part(value)})
}

/// What was refused, summed up by reason, action and level of pressure, the most frequent first.
fn reasons(found: &[Decision], policy: &Policy, now: Moment) -> Vec<Value> {
    let mut sums: BTreeMap<(Reason, Action, Level), (u64, Moment, Moment)> = BTreeMap::new();
    for decision in found {
        // Other reasons count whatever the level.
        let level = decision.reason.measure(decision.level).map_or(Level::Open, |_| decision.level);
        let key = (decision.reason, decision.action, level);
        let sum = sums.entry(key).or_insert((0, decision.when, decision.when));
        sum.0 += u64::from(decision.times);
        sum.1 = sum.1.min(decision.when);
        sum.2 = sum.2.max(decision.when);
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, (times, ..))| std::cmp::Reverse(*times));
    let one = |((reason, action, level), (times, first, latest)): &((Reason, Action, Level), (u64, Moment, Moment))| {
        json!({
            "reason": reason.name(),
            "text": reason.text(),
            "action": action.name(),
            "times": times,
            "since": seconds(now, *first),
            "until": seconds(now, *latest),
            "setting": reason.setting(),
            "level": measure(*reason, *level, policy),
            "remedy": reason.remedy(),
        })
    };
    sums.iter().map(one).collect()
}

fn last(found: &[Decision], now: Moment) -> Vec<Value> {
    let one = |decision: &Decision| {
        json!({
            "ago": seconds(now, decision.when), "address": decision.address.to_string(), "name": decision.name,
            "reason": decision.reason.name(), "action": decision.action.name(),
            "level": decision.level.name(), "times": decision.times,
        })
    };
    found.iter().take(SHOWN).map(one).collect()
}

/// As it is written in the configuration.
fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Observe => "observe",
        Mode::Off => "off",
    }
}

/// To a tenth.
fn seconds(now: Moment, then: Moment) -> f64 {
    (now.since(then).as_secs_f64() * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::admission::{Asking, Door, End, Pressure, Ticket, Verdict};
    use crate::clock::{Now, UnixTime};
    use crate::engine::{Counters, Shared};
    use crate::wire::Rtype;

    #[test]
    fn how_a_client_stands_with_flooded_zones_is_explained() {
        let exempt = Arc::new(vec![Name::parse("bl.example").expect("a name")]);
        let mut policy = Policy { allow: vec!["10.0.0.0/8".parse().expect("a prefix")], ..Policy::default() };
        policy.limits.exempt_zones = exempt;
        let shared = Shared::new(&crate::cache::Policy::default(), [4; 32]);
        let told = Told::new(shared.clone(), policy.clone(), 1, Moment::from_nanos(1));
        let mut door = Door::beside(&policy, &shared.books);
        let mut mono = Moment::from_nanos(3_600_000_000_000);
        let address = "10.0.0.1".parse().expect("an address");
        let asking = Asking { address, stream: false, cookie: None, name: b"\x03www\x07example\0" };
        let (verdict, _) = door.judge(Now { mono, age: mono, unix: UnixTime(0) }, &asking);
        let Verdict::Admitted(admitted) = verdict else { panic!("{verdict:?}") };
        let zones = shared.books.zones();
        for number in 0..2_000 {
            mono = mono + Duration::from_millis(2);
            let name = Name::parse(&format!("n{:x}x.victim.com", number * 0x1_0001)).expect("a name");
            if let Ok(ticket) = door.ask_zone(mono, &admitted, name.wire(), Rtype::A) {
                zones.begin(&ticket);
                door.end(mono, &ticket, name.wire(), End::Absent(None), std::iter::empty());
            }
        }
        for domain in ["one.net", "two.net"] {
            let name = Name::parse(domain).expect("a name");
            door.end(mono, &Ticket::default(), name.wire(), End::Found, [&admitted].into_iter());
        }
        let client = told.answer("explain 10.0.0.1", mono);
        assert_eq!(client["standing"], json!({"points": 2, "needed": 2, "ordinary": true}), "{client:#}");
        let paid = &client["flooded_zones"]["unproven"];
        assert!(paid["used"].as_f64().is_some_and(|used| used > 90.0), "{client:#}");
        assert_eq!(paid["zones"][0]["zone"], "victim.com.", "{client:#}");
        assert_eq!(client["flooded_zones"]["proven"], json!({"used": 0.0, "zones": []}));
        let zone = told.answer("explain www.victim.com", mono);
        assert_eq!((&zone["mode"], &zone["exempt"]), (&json!("enforce"), &Value::Null));
        let victim = zone["zones"].as_array().and_then(|zones| zones.last()).expect("an account");
        assert!(victim["flooded"].is_number() && victim["quota"] == 500.0, "{zone:#}");
        let exempt = told.answer("explain 2.0.0.127.bl.example", mono);
        assert_eq!(exempt["exempt"]["zone"], "bl.example.");
    }

    #[test]
    fn of_whom_the_kernel_drops_how_much_is_told() {
        let policy = Policy { allow: vec!["10.0.0.0/8".parse().expect("a prefix")], ..Policy::default() };
        let told = Told::new(Shared::new(&crate::cache::Policy::default(), [4; 32]), policy, 2, Moment::from_nanos(1));
        let start = Moment::from_nanos(1_000_000_000);
        let sifted = |source: &str, passes, rate| Sifted {
            source: source.parse().expect("an address"),
            passes,
            cookies_pass: 1.0,
            spared: 1,
            rate,
            since: start,
        };
        told.sifts(0, vec![sifted("10.0.0.1", 0.02, 300_000.0), sifted("2001:db8::", 0.1, 50_000.0)]);
        told.sifts(1, vec![sifted("10.0.0.1", 0.1, 100_000.0)]);
        let later = start + Duration::from_secs(7);
        let client = told.answer("explain 10.0.0.1", later);
        let both = json!({
            "source": "10.0.0.1/32", "packets": 400_000.0, "passes": 4.0, "cookies_pass": 100.0, "good_cookies": 2,
            "since": 7.0, "setting": "limits.kernel_filter",
        });
        assert_eq!(client["kernel_filter"], both);
        assert_eq!(told.answer("explain 2001:db8::77", later)["kernel_filter"]["source"], "2001:db8::/64");
        assert_eq!(told.answer("explain 10.0.0.2", later)["kernel_filter"], Value::Null);
        let status = told.answer("status", later);
        assert_eq!((&status["kernel_filter"][0], status["kernel_filter"].as_array().map(Vec::len)), (&both, Some(2)));
        told.sifts(0, Vec::new());
        assert_eq!(told.answer("explain 10.0.0.1", later)["kernel_filter"]["passes"], 10.0);
    }

    #[test]
    fn a_refusal_is_explained_by_address_and_by_name_and_counted() {
        let policy = Policy { allow: vec!["10.0.0.0/8".parse().expect("a prefix")], ..Policy::default() };
        let shared = Shared::new(&crate::cache::Policy::default(), [3; 32]);
        let books = shared.books.clone();
        let told = Told::new(shared.clone(), policy.clone(), 2, Moment::from_nanos(1));
        let mut door = Door::beside(&policy, &books);
        let start = Moment::from_nanos(3_600_000_000_000);
        let asking = Asking {
            address: "10.0.0.1".parse().expect("an address"),
            stream: false,
            cookie: None,
            name: b"\x03www\x07example\0",
        };
        let now = Now { mono: start, age: start, unix: UnixTime(0) };
        door.judge(now, &asking);
        door.feel(start, &Pressure { dropped: 0.1, ..Pressure::default() });
        for _ in 0..5_000 {
            door.judge(now, &asking);
        }
        let counters = Counters { door: door.tally(), queries: 5_001, formerr: 3, ..Counters::default() };
        told.say(1, Word { counters, level: door.level().0, since: door.level().1, cause: door.cause() });

        let later = start + Duration::from_secs(60);
        let explained = told.answer("explain 10.0.0.1", later);
        assert_eq!(explained["allowed"], true);
        assert_eq!(explained["unproven"][0]["prefix"], 32);
        assert_eq!(explained["refusals"][0]["setting"], "limits.client_rate");
        assert_eq!(explained["refusals"][0]["level"], json!({"setting": "level.guard.share", "value": "100%"}));
        assert_eq!(explained["refusals"][0]["since"], 60.0);
        assert_eq!(explained["last"][0]["level"], "guard");
        assert_eq!(told.answer("explain 10.0.0.1", start)["unproven"][0]["used"], 100.0);
        assert_eq!(told.answer("explain 10.0.0.2", later)["refusals"], json!([]));
        let named = told.answer("explain WWW.example", later);
        assert_eq!((&named["clients"], &named["most"][0]["address"]), (&json!(1), &json!("10.0.0.1")));
        let status = told.answer("status", later);
        assert_eq!((&status["level"], &status["queries"]), (&json!("guard"), &json!(5_001)));
        assert_eq!(status["rejected"], json!({"formerr": 3, "notimp": 0}));
        let cause = &status["cause"];
        assert_eq!((&cause["setting"], &cause["value"]), (&json!("level.guard.dropped"), &json!("1%")));
        assert_eq!(cause["measures"]["tcp_idle"], "25%");
        assert!(status["turned_away"]["client_limit"].as_u64().expect("a count") > 2_900);
        for line in ["", "explain", "explain a b", "status now", "drop tables", "explain .."] {
            assert!(told.answer(line, later)["error"].is_string(), "{line}");
        }
    }

    #[test]
    fn whoever_may_ask_nothing_more_upstream_is_told_that_all_of_it_is_used() {
        let policy = Policy { allow: vec!["10.0.0.0/8".parse().expect("a prefix")], ..Policy::default() };
        let shared = Shared::new(&crate::cache::Policy::default(), [3; 32]);
        let told = Told::new(shared.clone(), policy.clone(), 1, Moment::from_nanos(1));
        let mut door = Door::beside(&policy, &shared.books);
        let start = Moment::from_nanos(3_600_000_000_000);
        let now = Now { mono: start, age: start, unix: UnixTime(0) };
        let client = "10.0.0.1".parse().expect("an address");
        let asking = Asking { address: client, stream: false, cookie: None, name: b"\x01x\0" };
        let (Verdict::Admitted(proof), _) = door.judge(now, &asking) else { panic!("he may ask") };
        door.feel(start, &Pressure { dropped: 0.1, ..Pressure::default() });
        while door.recurse(start, &proof, b"\x01x\0").is_ok() {}
        let explained = told.answer("explain 10.0.0.1", start);
        let used = explained["upstream"]["unproven"][0]["used"].as_f64();
        assert!(used.is_some_and(|used| (95.0..=100.0).contains(&used)), "{explained:#}");
    }
}
