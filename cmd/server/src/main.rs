//! `adit-server`: arguments to configuration to `run`, and how that ended to an exit code.

mod args;
mod channel;
mod dns;
mod listeners;
mod node;
mod pages;
mod reload;
mod rules;
mod serve;
mod settings;

use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use runtime::Exit;
use runtime::config::{ConfigError, Loaded, to_toml};
use tokio::runtime::Builder;

use crate::args::{Cli, Command, ConfigCommand, TokenCommand};
use crate::reload::Source;
use crate::settings::Settings;

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
                Exit::Usage
            } else {
                Exit::Success
            }
            .into();
        }
    };
    match run(cli) {
        Ok(()) => Exit::Success.into(),
        Err(error) => {
            writeln!(io::stderr(), "{}", runtime::exit::last_words(&error)).ok();
            let misconfigured = error.downcast_ref::<ConfigError>().is_some();
            if misconfigured {
                Exit::Config
            } else {
                Exit::Failure
            }
            .into()
        }
    }
}

fn run(mut cli: Cli) -> anyhow::Result<()> {
    let command = cli.command.take();
    if let Some(Command::Token(TokenCommand::New)) = command {
        writeln!(io::stdout(), "{}", uplink::Token::generate().expose())?;
        return Ok(());
    }
    let config = cli.config().map(Into::into);
    let environment: Vec<_> = env::vars_os().collect();
    // Asked again whenever the rules are read anew: the command line and the environment stay what they were.
    let source: Source =
        Arc::new(move || settings::checked(cli.clone().layers(environment.clone())?.load()?));
    let loaded = source()?;
    match command {
        Some(Command::Config(ConfigCommand::Check)) => check(&loaded),
        _ => serve::run(&loaded, source, config),
    }
}

/// Prints what is in force, when all of it can be used.
fn check(loaded: &Loaded<Settings>) -> anyhow::Result<()> {
    rules::read(loaded)?;
    channel::check(loaded)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(node::try_fleet(loaded))?;
    io::stdout().write_all(to_toml(&loaded.settings)?.as_bytes())?;
    Ok(())
}
