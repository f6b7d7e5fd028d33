//! `maeslant completions` and `maeslant man`: written from the command line's own definition.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

/// Print a completion script for a shell.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  maeslant completions bash > ~/.local/share/bash-completion/completions/maeslant
  maeslant completions fish > ~/.config/fish/completions/maeslant.fish
  maeslant completions zsh  > ~/.zfunc/_maeslant      (with ~/.zfunc in $fpath)

Exit codes:
  0  printed
  1  the standard output cannot be written
  2  there is no such shell")]
pub struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Write the manual: a page for maeslant and one for each subcommand.
///
/// Without DIR the page of maeslant itself is printed.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  maeslant man /usr/local/share/man/man1 && man maeslant-check
  maeslant man | man -l -

Exit codes:
  0  written
  1  a page cannot be written
  2  the command line cannot be used")]
pub struct Man {
    /// A directory for the pages maeslant.1, maeslant-serve.1, …; made if it is missing.
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Prints the script.
pub fn completions<C: CommandFactory>(args: &Completions) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut C::command(), "maeslant", &mut script);
    super::print(&String::from_utf8_lossy(&script))
}

/// Prints or writes the pages.
pub fn man<C: CommandFactory>(args: &Man) -> ExitCode {
    let mut command = C::command().disable_help_subcommand(true);
    command.build();
    let Some(dir) = &args.dir else {
        return match page(command) {
            Ok(text) => super::print(&text),
            Err(error) => failed(Path::new("the page"), &error),
        };
    };
    if let Err(error) = std::fs::create_dir_all(dir) {
        return failed(dir, &error);
    }
    for task in command.get_subcommands().chain([&command]) {
        let path = dir.join(format!("{}.1", task.get_display_name().unwrap_or("maeslant")));
        let written = page(task.clone()).and_then(|text| std::fs::write(&path, text));
        if let Err(error) = written {
            return failed(&path, &error);
        }
    }
    ExitCode::SUCCESS
}

/// One page. The text after the options is laid out by hand, so its lines are kept as they are.
fn page(command: clap::Command) -> std::io::Result<String> {
    const EXTRA: &str = ".SH EXTRA\n";
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    let page = String::from_utf8_lossy(&page).into_owned();
    let Some((before, extra)) = page.split_once(EXTRA) else { return Ok(page) };
    let (extra, after) = extra.split_at(extra.find("\n.SH").map_or(extra.len(), |at| at + 1));
    Ok(format!("{before}.SH NOTES\n.nf\n{extra}.fi\n{after}"))
}

fn failed(path: &Path, error: &std::io::Error) -> ExitCode {
    eprintln!("error: cannot write {}: {error}", path.display());
    ExitCode::FAILURE
}
