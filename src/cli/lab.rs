//! `maeslant lab`: the small Internet, the resolver in front of it, and customers.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use maeslant::config::{Settings, special};
use maeslant::daemon;
use maeslant::dnssec::Anchors;
use maeslant::lab::view::{self, Reading};
use maeslant::lab::{self, Checked, Customers, Demand, Options, World};

/// Run the resolver in a small Internet on loopback, under load, and watch it.
///
/// Starts some eighty authoritative servers (a root, top-level domains, zones with everything that makes resolution
/// hard, a thousand popular sites, zones signed right and wrong) on addresses in 127.53.0.0/16, the resolver in front of
/// them with the lab's own root key, and customers in 127.10.0.0/16 who ask for popular names. Nothing leaves this
/// machine, and no root rights are needed. The answers are compared with what the zones say.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  maeslant lab                             until Ctrl-C, with a live view
  maeslant lab --duration 30s --rate 2000  half a minute, 2000 questions a second
  maeslant lab --servers-only              only the authoritative servers
  maeslant lab --export DIR                write the zones for other servers, and stop
While it runs: dig @127.0.0.1 -p 5398 a.b.c.d.e.f.g.h.hard.com

Exit codes:
  0  at least 99 % of what should succeed did
  1  it did not, or the lab could not start
  2  the command line cannot be used
  3  an address cannot be listened on")]
pub struct Args {
    /// How long: 30s, 5m. Without it until Ctrl-C on a terminal, else 20s.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Questions a second.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// Customers, each at an address of its own.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=65_000))]
    pub clients: u32,
    /// Popular sites to generate.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=9_999))]
    pub sites: u16,
    /// What chance starts from; the same seed asks the same questions.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The port of the authoritative servers; 0 draws a free one.
    #[arg(long, default_value_t = 5399)]
    pub port: u16,
    /// Where the resolver listens.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5398")]
    pub listen: SocketAddr,
    /// Ask this resolver instead of starting one. It must ask the lab's servers on the lab's port.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub resolver: Option<SocketAddr>,
    /// Write the trust anchor of the lab's root into this file. Its key is made at start.
    #[arg(long, value_name = "FILE")]
    pub anchors: Option<PathBuf>,
    /// Which zones are signed: as in the Internet, every one, or none.
    #[arg(long, value_enum, default_value_t = Signed::Usual)]
    pub signed: Signed,
    /// Only the authoritative servers: no resolver, no customers.
    #[arg(long, conflicts_with = "resolver")]
    pub servers_only: bool,
    /// Write every zone file, with the signatures that --signed asks for (they hold for fifteen days), root.anchors with
    /// the trust anchor, and servers.json, which server has which zones and faults, into this folder; start nothing.
    #[arg(long, value_name = "DIR")]
    pub export: Option<PathBuf>,
}

/// Which zones are signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Signed {
    Usual,
    All,
    None,
}

/// Runs the lab until its time is over, or Ctrl-C.
pub fn run(args: &Args) -> ExitCode {
    let atlas = lab::Atlas::new(usize::from(args.sites));
    let atlas = match args.signed {
        Signed::Usual => atlas,
        Signed::All => atlas.all_signed(),
        Signed::None => atlas.unsigned(),
    };
    if let Some(folder) = &args.export {
        let written = atlas.write_to(folder);
        return written.map_or_else(|e| fail(&format!("cannot write to {}: {e}", folder.display()), 1), |()| 0.into());
    }
    let options = Options { port: args.port, sites: usize::from(args.sites), seed: args.seed };
    let world = match World::of(atlas, &options) {
        Ok(world) => world,
        Err(error @ lab::StartError::Bind { .. }) => return fail(&error.to_string(), daemon::Exit::Bind as u8),
        Err(error) => return fail(&error.to_string(), 1),
    };
    if let Some(file) = &args.anchors
        && let Err(error) = std::fs::write(file, world.anchors())
    {
        return fail(&format!("cannot write to {}: {error}", file.display()), 1);
    }
    if args.servers_only {
        let roots: Vec<String> =
            world.root_hints().iter().flat_map(|h| &h.addresses).map(ToString::to_string).collect();
        eprintln!("authoritative servers answer on port {}; the root: {}", world.port(), roots.join(", "));
        return wait(args.duration, |_| {}).map_or_else(|e| fail(&e.to_string(), 1), |()| ExitCode::SUCCESS);
    }
    match args.resolver {
        Some(resolver) => watch(args, &world, resolver),
        None => match daemon::start(settings(args, &world)) {
            Ok(resolver) => {
                let code = watch(args, &world, resolver.addresses().first().copied().unwrap_or(args.listen));
                // What it has to say of its end is in the log; the lab's verdict stands.
                let _ = resolver.shutdown();
                code
            }
            Err(error) => fail(&error.to_string(), error.exit() as u8),
        },
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::from(code)
}

/// The resolver's settings: the lab's root, the lab's port, and loopback addresses are fair to ask.
fn settings(args: &Args, world: &World) -> Settings {
    let mut settings = Settings::default();
    settings.listener.listen = vec![args.listen];
    settings.engine.resolve.root_hints = world.root_hints();
    settings.engine.resolve.server_port = world.port();
    settings.engine.resolve.do_not_query = special::beyond_loopback();
    // The lab's root has keys of its own, made at its start.
    settings.engine.resolve.dnssec.anchors = Anchors::parse(world.anchors()).unwrap_or_default();
    settings
}

fn watch(args: &Args, world: &World, resolver: SocketAddr) -> ExitCode {
    let demand =
        Demand { resolver, rate: args.rate, customers: args.clients, sites: usize::from(args.sites), seed: args.seed };
    let mut curiosities = match lab::catalogue() {
        Ok(questions) => questions,
        Err(error) => return fail(&error.to_string(), 1),
    };
    // What is not as usual, and what others make of zones signed wrong, is not known.
    if args.resolver.is_some() || args.signed != Signed::Usual {
        curiosities.retain(|question| !matches!(question.checked, Checked::Bogus(_)));
    }
    curiosities.iter_mut().for_each(|question| question.expected = question.expected_checked());
    let customers = match Customers::start(&demand, &curiosities) {
        Ok(customers) => customers,
        Err(error) => return fail(&format!("the customers cannot be started: {error}"), 1),
    };
    let terminal = std::io::stderr().is_terminal();
    let title = format!("maeslant lab: {} sites, {} customers, resolver {resolver}", args.sites, args.clients);
    let (start, mut before, mut drawn) = (Instant::now(), Reading::default(), 0);
    let duration = args.duration.or((!terminal).then_some(Duration::from_secs(20)));
    let waited = wait(duration, |_| {
        let now = Reading { elapsed: start.elapsed(), tally: customers.tally(), upstream: world.queries() };
        let text = if terminal {
            let lines = view::screen(&now, &before, &title);
            let text = view::redraw(&lines, drawn, maeslant::net::terminal::columns(std::io::stderr()));
            drawn = lines.len();
            text
        } else {
            view::line(&now, &before) + "\n"
        };
        // Nobody left to see it is no reason to stop measuring.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
        before = now;
    });
    if let Err(error) = waited {
        return fail(&error.to_string(), 1);
    }
    let elapsed = start.elapsed();
    let (surprises, upstream) = (customers.surprises(), world.queries());
    let end = Reading { elapsed, tally: customers.finish(), upstream };
    let _ = writeln!(std::io::stdout().lock(), "\n{}", view::summary(&end, &surprises));
    if view::passed(&end.tally) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Calls `each_second` until the time is over or Ctrl-C.
fn wait(duration: Option<Duration>, mut each_second: impl FnMut(Instant)) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        seconds.tick().await; // the first is at once
        let start = tokio::time::Instant::now();
        let end = async {
            match duration {
                Some(duration) => tokio::time::sleep_until(start + duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(end);
        let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        loop {
            tokio::select! {
                () = &mut end => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
                at = seconds.tick() => each_second(at.into_std()),
            }
        }
    })
}

/// `500ms`, `30s`, `5m`, `1h`; at least a millisecond, at most a day.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("expected a number with ms, s, m or h, such as 30s".to_owned()),
    };
    let span = number.parse::<u64>().ok().and_then(|n| n.checked_mul(millis)).filter(|n| (1..=86_400_000).contains(n));
    span.map(Duration::from_millis).ok_or_else(|| "expected a time from 1ms to 24h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_carry_their_unit() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["30", "s", "-1s", "0s", "25h", "1 s", "99999999999999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
