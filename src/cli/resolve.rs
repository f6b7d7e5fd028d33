//! `maeslant resolve`.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use maeslant::config::{self, Settings};
use maeslant::daemon::{Resolved, resolve_once};
use maeslant::wire::{Message, Name, Question, Rcode, Record, Rtype, show_rdata};

/// Resolve one name, and show how.
///
/// Asks the servers of the Internet itself, from the root down, with the same engine and the same settings that `serve`
/// uses, but with an empty cache: what it finds is what a resolver that has just been started finds.
#[derive(clap::Args)]
#[command(after_long_help = "\
Behind the RCODE stands what validation came to: secure, insecure (an unsigned zone), bogus with the reason, indeterminate
(it would have cost too much to find out), or not validated (switched off, or no key of the root is trusted).

With --trace every step is shown when it is taken: which server was asked for what, how long it took, what came back,
and what was concluded, also of each zone in the chain of trust. Steps of look-ups within the look-up, for the address of
a name server, are indented.

Examples:
  maeslant resolve www.example.com
  maeslant resolve example.com MX --trace
  maeslant resolve 192.0.2.1                  the name of an address
  maeslant resolve -c my.toml intranet.corp.example

Exit codes:
  0  there is an answer, be it that the name does not exist
  1  there is none: SERVFAIL, with the reason
  2  the command line or the configuration cannot be used")]
pub struct Args {
    /// The name to resolve, or an address, whose name is looked up.
    pub name: String,
    /// The type of records: A, AAAA, MX, TXT, TYPE65280 … A by default, PTR for an address.
    #[arg(value_name = "TYPE")]
    pub rtype: Option<String>,
    /// Show every step.
    #[arg(short, long)]
    pub trace: bool,
    /// The configuration file.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Resolves, and prints what came of it.
pub fn run(args: &Args) -> ExitCode {
    let question = match question(args) {
        Ok(question) => question,
        Err(why) => {
            eprintln!("error: {why}");
            return ExitCode::from(super::UNUSABLE);
        }
    };
    let settings = match &args.config {
        None => Settings::default(),
        Some(path) => {
            let (settings, report) = config::load(path);
            if !report.problems.is_empty() {
                super::show(&report);
            }
            match settings {
                Some(settings) => settings,
                None => return ExitCode::from(super::UNUSABLE),
            }
        }
    };
    let resolved = resolve_once(&settings, &question, |at, traced| {
        if args.trace {
            let indent = "  ".repeat(traced.depth);
            println!("{:>9.1} ms  {indent}{}", at.as_secs_f64() * 1e3, traced.step);
        }
    });
    match resolved {
        Ok(resolved) => {
            let code = super::print(&show(&resolved, args.trace));
            if resolved.response.rcode() == Rcode::SERVFAIL { ExitCode::FAILURE } else { code }
        }
        Err(error) => {
            eprintln!("error: {error}");
            error.exit().into()
        }
    }
}

fn question(args: &Args) -> Result<Question, String> {
    let address = args.name.parse::<IpAddr>().ok();
    let name = match address {
        Some(address) => reverse(address),
        None => args.name.clone(),
    };
    let name = Name::parse(&name).map_err(|why| format!("`{name}` is not a domain name: {why}"))?;
    let rtype = match &args.rtype {
        None if address.is_some() => Rtype::PTR,
        None => Rtype::A,
        Some(text) => Rtype::parse(text).ok_or_else(|| format!("`{text}` is not a record type; A, AAAA, MX … are"))?,
    };
    Ok(Question::new(name, rtype))
}

/// The name under which an address's own name is kept (RFC 1035 §3.5, RFC 3596 §2.5).
fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
        }
        IpAddr::V6(address) => {
            let digits = address.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            digits.map(|digit| format!("{digit:x}.")).collect::<String>() + "ip6.arpa."
        }
    }
}

fn show(resolved: &Resolved, traced: bool) -> String {
    let response = &resolved.response;
    let mut text = if traced { "\n".to_owned() } else { String::new() };
    let plural = if resolved.asked == 1 { "" } else { "s" };
    let _ = writeln!(
        text,
        "{}, {}  ({} packet{plural} to servers, {:.1} ms)",
        response.rcode(),
        resolved.verdict,
        resolved.asked,
        resolved.took.as_secs_f64() * 1e3
    );
    if let Some((code, why)) = response.edns.as_ref().and_then(|edns| edns.extended_error.as_ref()) {
        let _ = writeln!(text, "because: {why} (extended error {code})");
    }
    for record in response.answers() {
        show_record(&mut text, response, record);
    }
    for record in response.authorities() {
        show_record(&mut text, response, record);
    }
    text
}

fn show_record(text: &mut String, response: &Message, record: &Record) {
    let rdata = show_rdata(record.rtype, response.rdata(record));
    let _ = writeln!(text, "{}\t{}\tIN\t{}\t{rdata}", record.owner, record.ttl, record.rtype);
}
