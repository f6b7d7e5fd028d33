//! The command line: subcommands and exit codes.

mod cli;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A caching, recursive DNS resolver that stands in a flood.
///
/// It resolves names from the root of the Internet down, remembers what it learned in a fixed amount of memory, and
/// answers clients by UDP and TCP. Without a configuration file it listens on 127.0.0.1:5300 and [::1]:5300 and answers
/// this machine only.
#[derive(Parser)]
#[command(name = "maeslant", version, arg_required_else_help = true, after_long_help = EXAMPLES)]
struct Command {
    #[command(subcommand)]
    task: Task,
}

const EXAMPLES: &str = "\
Examples:
  maeslant serve                              answer this machine on port 5300
  dig @127.0.0.1 -p 5300 example.com          ask it
  maeslant check --print default > my.toml    a configuration file to start from
  maeslant check my.toml                      find the mistakes in it
  maeslant serve --config my.toml             use it
  maeslant resolve example.com --trace        see how a name is resolved

Exit codes:
  0  done
  1  it could not go on
  2  the command line or the configuration cannot be used
  3  an address cannot be listened on";

#[derive(Subcommand)]
enum Task {
    Serve(cli::serve::Args),
    Check(cli::check::Args),
    Resolve(cli::resolve::Args),
    Ctl(cli::ctl::Args),
    Lab(cli::lab::Args),
    Load(Box<cli::load::Args>),
    Completions(cli::generate::Completions),
    Man(cli::generate::Man),
}

fn main() -> ExitCode {
    match Command::parse().task {
        Task::Serve(args) => cli::serve::run(&args),
        Task::Check(args) => cli::check::run(&args),
        Task::Resolve(args) => cli::resolve::run(&args),
        Task::Ctl(args) => cli::ctl::run(&args),
        Task::Lab(args) => cli::lab::run(&args),
        Task::Load(args) => cli::load::run(&args),
        Task::Completions(args) => cli::generate::completions::<Command>(&args),
        Task::Man(args) => cli::generate::man::<Command>(&args),
    }
}
