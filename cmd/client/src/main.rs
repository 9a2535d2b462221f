//! `adit`: arguments to configuration to an agent, and how that ended to an exit code.

mod args;
mod bare;
mod console;
mod end;
mod files;
mod key;
mod local;
mod publish;
mod settings;
mod start;
mod ws;

use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command};
use crate::end::End;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => {
            // Help and version come this way too, on stdout. Whether they could be written changes nothing.
            usage.print().ok();
            return if usage.use_stderr() {
                End::Usage
            } else {
                End::AsAsked
            }
            .into();
        }
    };
    let ended = match cli.command {
        Command::Http(http) => publish::http(&http, env::vars_os()),
        Command::Bare(command) => bare::run(&command, env::vars_os()),
        Command::Files(files) => files::run(&files, env::vars_os()),
        Command::Start(args) => start::run(&args, env::vars_os()),
        Command::Config(args::Config::Check(args)) => start::check(&args, env::vars_os()),
        Command::Ws(command) => ws::run(&command, env::vars_os()),
        Command::Key(command) => key::run(command, env::vars_os()),
    };
    match ended {
        Ok(()) => End::AsAsked.into(),
        Err(error) => {
            writeln!(io::stderr(), "{}", runtime::exit::last_words(&error)).ok();
            End::of(&error).into()
        }
    }
}
