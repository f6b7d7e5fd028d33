//! `maeslant ctl`.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use maeslant::control;
use serde_json::Value;

/// Ask a running server what it does, and why.
///
/// It must have been started with [server] control_socket in its configuration, and only its own user and root may ask.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  maeslant ctl status                   is it under pressure, since when, who was turned away
  maeslant ctl explain 192.0.2.7        why was this client refused, by which setting, what would change it
  maeslant ctl explain www.example.com  who was refused this name
  maeslant ctl reload --dry-run         what would change if the configuration were read again
  maeslant ctl --json status | jq .turned_away

Exit codes:
  0  answered
  1  nobody answers there
  2  the command line cannot be used")]
pub struct Args {
    /// The socket, as [server] control_socket names it.
    #[arg(short, long, value_name = "PATH", default_value = "/run/maeslant/control")]
    pub socket: PathBuf,
    /// Print the answer as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(subcommand)]
    pub question: Question,
}

/// What can be asked.
#[derive(Subcommand)]
pub enum Question {
    /// How hard it is pressed, and what was done about it
    Status,
    /// Read the configuration again; what is wrong with it changes nothing
    Reload {
        /// Only say what would change
        #[arg(long)]
        dry_run: bool,
    },
    /// Why a client, or a name, was refused
    Explain {
        /// An IP address, or a name
        what: String,
    },
}

/// Asks and prints.
pub fn run(args: &Args) -> ExitCode {
    let question = match &args.question {
        Question::Status => "status".to_owned(),
        Question::Reload { dry_run: false } => "reload".to_owned(),
        Question::Reload { dry_run: true } => "try reload".to_owned(),
        Question::Explain { what } => format!("explain {}", what.replace(char::is_whitespace, "")),
    };
    let answer = match control::ask(&args.socket, &question) {
        Ok(answer) => answer,
        Err(error) => {
            eprintln!("error: cannot ask {}: {error}", args.socket.display());
            eprintln!("help: start the server with [server] control_socket, and name the same path with --socket");
            return ExitCode::FAILURE;
        }
    };
    let Ok(value) = serde_json::from_str::<Value>(&answer) else {
        eprintln!("error: what answers at {} is no maeslant", args.socket.display());
        return ExitCode::FAILURE;
    };
    if let Some(error) = value["error"].as_str() {
        eprintln!("error: {error}");
        return ExitCode::from(super::UNUSABLE);
    }
    match (&args.question, args.json) {
        (_, true) => super::print(&format!("{value:#}\n")),
        (Question::Status, _) => super::print(&status(&value)),
        (Question::Reload { dry_run }, _) => super::print(&reloaded(&value, *dry_run)),
        (Question::Explain { .. }, _) => super::print(&explanation(&value)),
    }
}

fn status(value: &Value) -> String {
    let mut out = String::new();
    let number = |key: &str| value[key].as_u64().unwrap_or(0);
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "maeslant {}, up {}, pressure {}{}",
        text(&value["version"]),
        span(&value["up"]),
        text(&value["level"]),
        if value["since"].is_null() { String::new() } else { format!(" for {}", span(&value["since"])) }
    );
    let cause = &value["cause"];
    if !cause.is_null() {
        let mark = match cause["setting"].as_str() {
            Some(setting) => format!(" ({setting} = {})", text(&cause["value"])),
            None => String::new(),
        };
        let measures = cause["measures"].as_object().into_iter().flatten();
        let measures: Vec<String> = measures.map(|(key, part)| format!("{key} {}", text(part))).collect();
        let _ = writeln!(out, "since {}{mark}; at this level: {}", text(&cause["text"]), measures.join(", "));
    }
    let _ = writeln!(
        out,
        "queries {}  answered {}  waiting {}  from the cache {}  from proofs in it {}",
        number("queries"),
        number("answered"),
        number("waiting"),
        number("cache_hits"),
        number("deduced")
    );
    for (title, key) in [
        ("answered stale", "stale"),
        ("turned away", "turned_away"),
        ("would have been (observed)", "observed"),
        ("not answered", "dropped"),
        ("not understood", "rejected"),
        ("used up a budget", "over_budget"),
    ] {
        let counts: Vec<String> = value[key]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, count)| count.as_u64() != Some(0))
            .map(|(reason, count)| format!("{reason} {count}"))
            .collect();
        let _ = writeln!(out, "{title}: {}", if counts.is_empty() { "nobody".into() } else { counts.join(", ") });
    }
    let shares = &value["cache_shares"];
    if ["turned_away", "seldom", "observed"].iter().any(|count| shares[count] != 0) {
        let _ = writeln!(
            out,
            "not kept, since its domain or its kind had its share of a full cache: {}, since it was asked for too seldom: {}; would \
             not have been (observed): {} ({})",
            shares["turned_away"],
            shares["seldom"],
            shares["observed"],
            text(&shares["setting"])
        );
    }
    servers(&mut out, value["limited_servers"].as_array().map_or(&[][..], Vec::as_slice));
    let _ = writeln!(
        out,
        "addresses never seen before: {}",
        match value["strangers"].as_str() {
            Some("forged") => "forged, most of them do not come by TCP when they are told to",
            Some("real") => "many, and real",
            _ => "few",
        }
    );
    held_back(&mut out, value["kernel_filter"].as_array().map_or(&[][..], Vec::as_slice));
    let (learned, prefetch) = (&value["learned"], &value["prefetch"]);
    let _ = writeln!(
        out,
        "names known to exist: {} to {}, in {} octets ({})\nrefreshed ahead of their end: {}; left to it: {} ({})",
        learned["at_least"],
        learned["at_most"],
        learned["octets"],
        text(&learned["setting"]),
        prefetch["refreshed"],
        prefetch["left_to_end"],
        text(&prefetch["setting"])
    );
    let _ = observed(&mut out, &value["zones"]);
    zones(&mut out, value["flooded"].as_array().map_or(&[][..], Vec::as_slice));
    out
}

fn reloaded(value: &Value, dry_run: bool) -> String {
    let mut out = String::new();
    let list = |key: &str| value[key].as_array().map_or(&[][..], Vec::as_slice);
    let (taken, stays) = if dry_run { ("would be", "would stay") } else { ("is now", "stays") };
    for change in list("changed") {
        let (key, from, to) = (text(&change["key"]), text(&change["from"]), text(&change["to"]));
        let _ = writeln!(out, "{key} {taken} {to}, was {from}");
    }
    for change in list("restart") {
        let (key, from, to) = (text(&change["key"]), text(&change["from"]), text(&change["to"]));
        let _ = writeln!(out, "{key} {stays} {from} until a restart, which will make it {to}");
    }
    if out.is_empty() {
        out.push_str("nothing has changed\n");
    }
    out
}

/// What is known of authoritative servers, a line each.
fn servers(out: &mut String, servers: &[Value]) {
    for server in servers {
        let number = |key: &str| server[key].as_f64().unwrap_or(0.0);
        let _ = writeln!(
            out,
            "server {}: {}, {} ms, packets a second: {} answered, {} lost; {} in flight, {} silences in a row{}",
            text(&server["server"]),
            match server["quota"].as_f64() {
                Some(quota) => format!("quota {quota}/s ({})", text(&server["setting"])),
                None => "no quota".to_owned(),
            },
            number("rtt"),
            number("answered_packets"),
            number("lost_packets"),
            number("in_flight"),
            number("silences"),
            if server["left_alone"] == true { ", left alone" } else { "" },
        );
    }
}

/// How a client stands with zones that are flooded.
fn standing(out: &mut String, value: &Value) {
    let (standing, floods) = (&value["standing"], &value["flooded_zones"]);
    let _ = writeln!(
        out,
        "history: {}, {} points ({} make it ordinary): its new names of flooded zones {}",
        if standing["ordinary"] == true { "ordinary" } else { "not ordinary yet" },
        standing["points"],
        standing["needed"],
        if standing["ordinary"] == true { "go before others" } else { "come last" }
    );
    for (title, key) in [("by UDP without a cookie", "unproven"), ("with a cookie or by TCP", "proven")] {
        let account = &floods[key];
        if account["used"].as_f64().unwrap_or(0.0) > 0.0 {
            let zones = account["zones"].as_array().into_iter().flatten();
            let each: Vec<String> = zones.map(|zone| format!(", {} {} %", text(&zone["zone"]), zone["used"])).collect();
            let setting = text(&floods["setting"]);
            let _ = writeln!(
                out,
                "used up with flooded zones {title} ({setting}): all {} %{}",
                account["used"],
                each.concat()
            );
        }
    }
}

/// Says so where zones are not held to their quotas.
fn observed(out: &mut String, mode: &Value) -> std::fmt::Result {
    match mode.as_str() {
        Some("observe") => {
            writeln!(out, "limits.zones is \"observe\": what a flooded zone's quota would refuse is asked all the same")
        }
        Some("off") => writeln!(out, "limits.zones is \"off\": no zone has a quota"),
        _ => Ok(()),
    }
}

/// The accounts of zones, a paragraph each.
fn zones(out: &mut String, zones: &[Value]) {
    for zone in zones {
        let number = |key: &str| zone[key].as_f64().unwrap_or(0.0);
        let _ = match zone["why"].as_str() {
            Some(why) => writeln!(
                out,
                "\n{} is flooded for {}: {why}\n  quota    {}/s ({}), {} refused since",
                text(&zone["zone"]),
                span(&zone["flooded"]),
                number("quota"),
                text(&zone["setting"]),
                number("refused")
            ),
            None => writeln!(out, "\n{} is not flooded", text(&zone["zone"])),
        };
        let _ = writeln!(
            out,
            "  new names a second: {} asked for, {} different; of those let through {} exist, {} do not, {} failed; {} in \
             flight\n  packets a second: {} answered, {} lost",
            number("asked"),
            number("distinct"),
            number("found"),
            number("absent"),
            number("failed"),
            number("in_flight"),
            number("answered_packets"),
            number("lost_packets")
        );
    }
}

/// Whose packets the kernel drops before they are seen here.
fn held_back(out: &mut String, sources: &[Value]) {
    for one in sources {
        let _ = writeln!(
            out,
            "the kernel drops packets of {} for {}: of some {} a second {} % are let through, of those with a cookie {} %, and \
             all with one of {} good cookies ({})\n  change: a DNS cookie or TCP; or kernel_filter = false, and all are read \
             here",
            text(&one["source"]),
            span(&one["since"]),
            one["packets"],
            one["passes"],
            one["cookies_pass"],
            one["good_cookies"],
            text(&one["setting"])
        );
    }
}

fn explanation(value: &Value) -> String {
    let mut out = String::new();
    let list = |key: &str| value[key].as_array().map_or(&[][..], Vec::as_slice);
    match value["address"].as_str() {
        Some(address) => {
            let _ = writeln!(
                out,
                "{address}: {}, class {}, {}, counts as {} clients ({} with cookies or by TCP)",
                if value["allowed"] == true { "may ask" } else { "may not ask" },
                value["class"].as_str().unwrap_or("none"),
                if value["known"] == true { "served before" } else { "not served lately" },
                value["shares"],
                value["shares_proven"]
            );
            for (title, key) in [("by UDP without a cookie", "unproven"), ("with a cookie or by TCP", "proven")] {
                let used = |levels: &Value| {
                    let levels = levels.as_array().map_or(&[][..], Vec::as_slice).iter();
                    levels
                        .map(|level| format!("/{} {} %", level["prefix"], level["used"]))
                        .collect::<Vec<_>>()
                        .join(", ")
                };
                let (answers, upstream) = (used(&value[key]), used(&value["upstream"][key]));
                let _ = writeln!(out, "share used {title}: {answers}; upstream: {upstream}");
            }
            standing(&mut out, value);
            if !value["kernel_filter"].is_null() {
                held_back(&mut out, std::slice::from_ref(&value["kernel_filter"]));
            }
            servers(&mut out, list("servers"));
        }
        None => {
            let _ = writeln!(out, "{}: refused to {} clients", text(&value["name"]), value["clients"]);
            for client in list("most") {
                let _ = writeln!(out, "  {:<40} {} times", text(&client["address"]), client["times"]);
            }
            let learned = if value["learned"] == true { "has resolved in the last days" } else { "not seen before" };
            let _ = writeln!(out, "the name: {learned}");
            if let Some(zone) = value["exempt"]["zone"].as_str() {
                let _ = writeln!(
                    out,
                    "{zone} is exempt ({}): what is below it counts for no flood",
                    text(&value["exempt"]["setting"])
                );
            }
            let _ = observed(&mut out, &value["mode"]);
            zones(&mut out, list("zones"));
        }
    }
    if list("refusals").is_empty() {
        let _ = writeln!(out, "nothing was refused that is still remembered");
    }
    for refusal in list("refusals") {
        let _ = writeln!(
            out,
            "\n{} ({}), {} times, first {} ago, last {} ago\n  why      {}\n  setting  {}\n  change   {}",
            text(&refusal["reason"]),
            text(&refusal["action"]),
            refusal["times"],
            span(&refusal["since"]),
            span(&refusal["until"]),
            text(&refusal["text"]),
            text(&refusal["setting"]),
            text(&refusal["remedy"])
        );
        let level = &refusal["level"];
        if !level.is_null() {
            let _ = writeln!(
                out,
                "  level    {} = {}, or the marks of that level",
                text(&level["setting"]),
                text(&level["value"])
            );
        }
    }
    out
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// Seconds as people say them.
fn span(value: &Value) -> String {
    match value.as_f64().unwrap_or(0.0) {
        seconds if seconds < 120.0 => format!("{seconds:.1} s"),
        seconds if seconds < 7_200.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3_600.0),
    }
}
