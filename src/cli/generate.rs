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
    let mut command = C::command();
    command.build();
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        return match clap_mangen::Man::new(command).render(&mut page) {
            Ok(()) => super::print(&String::from_utf8_lossy(&page)),
            Err(error) => failed(Path::new("the page"), &error),
        };
    };
    if let Err(error) = std::fs::create_dir_all(dir) {
        return failed(dir, &error);
    }
    let tasks = command.get_subcommands().filter(|task| !task.is_hide_set() && task.get_name() != "help");
    for page in tasks.chain([&command]) {
        let name = page.get_display_name().unwrap_or("maeslant").to_owned();
        let path = dir.join(format!("{name}.1"));
        let mut text = Vec::new();
        let written = clap_mangen::Man::new(page.clone()).render(&mut text).and_then(|()| std::fs::write(&path, text));
        if let Err(error) = written {
            return failed(&path, &error);
        }
    }
    ExitCode::SUCCESS
}

fn failed(path: &Path, error: &std::io::Error) -> ExitCode {
    eprintln!("error: cannot write {}: {error}", path.display());
    ExitCode::FAILURE
}
