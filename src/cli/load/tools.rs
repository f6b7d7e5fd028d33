//! `maeslant load convert`, `stats` and `slice`: records without sending them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use ipnet::IpNet;
use maeslant::load::capture::anonymise::Mask;
use maeslant::load::capture::stats::Stats;
use maeslant::load::capture::{self, Choice, Format, Message, PORT, Writer};
use maeslant::wire::Name;

use super::{fail, files};

/// Which messages of a record.
#[derive(clap::Args, Clone)]
pub struct Selection {
    /// The port of DNS servers; may be given several times.
    #[arg(long, value_name = "PORT", default_values_t = [PORT])]
    pub port: Vec<u16>,
    /// Queries a second where a text gives no times.
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub text_rate: u32,
    /// Only of clients in this prefix.
    #[arg(long, value_name = "PREFIX")]
    pub client: Option<IpNet>,
    /// Only for names at or below this one.
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub zone: Option<Name>,
}

fn name(text: &str) -> Result<Name, String> {
    Name::parse(text).map_err(|error| error.to_string())
}

impl Selection {
    /// What the reader is to look for.
    pub fn choice(&self) -> Choice {
        Choice { ports: self.port.clone(), rate: self.text_rate }
    }

    /// Whether a message is one of them.
    pub fn wants(&self, message: &Message) -> bool {
        let inside = |net: &IpNet| message.client.is_some_and(|client| net.contains(&client.ip()));
        let below = |zone: &Name| {
            let rest = message.packet.get(12..).unwrap_or_default();
            let name = maeslant::wire::wire_name_len(rest).and_then(|length| Name::from_wire(&rest[..length]));
            name.is_some_and(|name| name.is_at_or_below(zone))
        };
        self.client.as_ref().is_none_or(inside) && self.zone.as_ref().is_none_or(below)
    }
}

/// Write a record in another format: pcap, pcapng, dnstap or dnsperf's text, by the name of the file to be written.
#[derive(clap::Args)]
pub struct Convert {
    /// The record.
    #[arg(value_name = "FROM")]
    pub from: PathBuf,
    /// The file to be written: .pcap, .pcapng, .dnstap, .txt.
    #[arg(value_name = "TO")]
    pub to: PathBuf,
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub privacy: Privacy,
}

/// What is replaced.
#[derive(clap::Args, Clone)]
pub struct Privacy {
    /// Replace addresses, in reverse names too, keeping prefixes together; EDNS options, signatures of messages and texts
    /// are emptied, and what cannot be read is cut off.
    #[arg(long)]
    pub anonymise: bool,
    /// Replace the labels of names too, but for the last two; responses lose their records.
    #[arg(long, requires = "anonymise")]
    pub hash_names: bool,
    /// The key, as 32 hexadecimal digits: records made with the same key fit together. A new one each time without it.
    #[arg(long, value_name = "HEX", requires = "anonymise", value_parser = key)]
    pub key: Option<[u8; 16]>,
}

fn key(text: &str) -> Result<[u8; 16], String> {
    let number = (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok()).flatten();
    number.map(u128::to_be_bytes).ok_or_else(|| "expected 32 hexadecimal digits".to_owned())
}

impl Privacy {
    fn mask(&self) -> Result<Option<Mask>, String> {
        if !self.anonymise {
            return Ok(None);
        }
        let key = match self.key {
            Some(key) => key,
            None => {
                let mut key = [0; 16];
                getrandom::fill(&mut key).map_err(|error| format!("no randomness for a key: {error}"))?;
                key
            }
        };
        Ok(Some(Mask::new(key, self.hash_names)))
    }
}

/// Say what is in a record.
#[derive(clap::Args)]
pub struct Show {
    /// The record.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub selection: Selection,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// Cut a part out of a record.
#[derive(clap::Args)]
pub struct Slice {
    /// The record.
    #[arg(value_name = "FROM")]
    pub from: PathBuf,
    /// The file to be written: .pcap, .pcapng, .dnstap, .txt.
    #[arg(value_name = "TO")]
    pub to: PathBuf,
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub privacy: Privacy,
    /// From this many seconds after the first message.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, value_parser = seconds)]
    pub after: f64,
    /// Until this many seconds after the first message.
    #[arg(long, value_name = "SECONDS", default_value_t = f64::INFINITY, value_parser = seconds)]
    pub before: f64,
    /// At most so many messages.
    #[arg(long, value_name = "NUMBER", default_value_t = u64::MAX)]
    pub count: u64,
    /// Leave responses out.
    #[arg(long)]
    pub queries: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|seconds| *seconds >= 0.0)
        .ok_or_else(|| "expected a number of seconds, such as 1.5".to_owned())
}

/// Converts a record.
pub fn convert(args: &Convert) -> ExitCode {
    rewrite(&args.from, &args.to, &args.selection, &args.privacy, |_, _| true)
}

/// Cuts a record.
pub fn slice(args: &Slice) -> ExitCode {
    let mut taken = 0;
    rewrite(&args.from, &args.to, &args.selection, &args.privacy, |message, since| {
        let within = (args.after..args.before).contains(&since.as_secs_f64());
        let wanted = within && taken < args.count && !(args.queries && message.is_response());
        taken += u64::from(wanted);
        wanted
    })
}

fn rewrite(
    from: &Path,
    to: &Path,
    selection: &Selection,
    privacy: &Privacy,
    mut wanted: impl FnMut(&Message, Duration) -> bool,
) -> ExitCode {
    let Some(format) = Format::of(to) else {
        return fail(&format!("{}: expected .pcap, .pcapng, .dnstap or .txt", to.display()), super::super::UNUSABLE);
    };
    let mask = match privacy.mask() {
        Ok(mask) => mask,
        Err(error) => return fail(&error, 1),
    };
    if let Err(error) = files::check(&[from], &[to]) {
        return fail(&error, super::super::UNUSABLE);
    }
    // Nothing is created before it is known that there is something to read.
    let mut writer: Option<Result<Writer, std::io::Error>> = None;
    let (mut first, mut written) = (None, 0u64);
    let summary = capture::read(from, &selection.choice(), &mut |mut message| {
        let since = message.at.saturating_sub(*first.get_or_insert(message.at));
        if !selection.wants(&message) || !wanted(&message, since) {
            return;
        }
        if let Some(mask) = &mask {
            mask.apply(&mut message);
        }
        let open = writer.get_or_insert_with(|| Writer::create(to, format));
        if let Ok(out) = open {
            match out.write(&message) {
                Ok(()) => written += 1,
                Err(error) => *open = Err(error),
            }
        }
    });
    let summary = match summary {
        Ok(summary) => summary,
        Err(error) => return fail(&format!("cannot read {}: {error}", from.display()), super::super::UNUSABLE),
    };
    eprintln!("{}: {}", from.display(), summary.line());
    match writer.unwrap_or_else(|| Writer::create(to, format)).and_then(|out| Ok((out.left_out, out.finish()?))) {
        Ok((left_out, ())) => {
            let rest = if left_out > 0 { format!(", {left_out} have no place there") } else { String::new() };
            eprintln!("{}: {} messages{rest}", to.display(), written - left_out);
            if summary.fault.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(error) => fail(&format!("cannot write {}: {error}", to.display()), 1),
    }
}

/// Counts a record.
pub fn stats(args: &Show) -> ExitCode {
    let mut stats = Stats::default();
    let summary = capture::read(&args.file, &args.selection.choice(), &mut |message| {
        if args.selection.wants(&message) {
            stats.add(&message);
        }
    });
    let summary = match summary {
        Ok(summary) => summary,
        Err(error) => return fail(&format!("cannot read {}: {error}", args.file.display()), super::super::UNUSABLE),
    };
    eprintln!("{}: {}", args.file.display(), summary.line());
    let shown = stats.show();
    let text = if args.json { serde_json::to_string_pretty(&shown).unwrap_or_default() + "\n" } else { shown.text() };
    let code = super::super::print(&text);
    if summary.fault.is_some() { ExitCode::FAILURE } else { code }
}
