//! `adit bare`: a Bare server, at the end of a tunnel or on a listener of this machine.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use bare::{Bare, Config};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use tokio_util::task::TaskTracker;
use tunnel::ws::client_config;

use crate::args::{BareCommand, BareFlags};
use crate::console::Console;
use crate::end::Misuse;
use crate::local::{Local, LocalBody, Socket, Upgrade, Visitor};
use crate::publish;
use crate::settings::{Settings, Variable};

/// Runs `adit bare …` until a signal, or until the agent must not go on.
pub(crate) fn run(
    command: &BareCommand,
    variables: impl IntoIterator<Item = Variable>,
) -> anyhow::Result<()> {
    // Said before anything is made or connected.
    let key = access_key(&command.bare)?;
    publish::local(
        &command.publish,
        |layers| command.publish.layers(layers),
        command.listen,
        "the Bare server",
        variables,
        |settings, console, tasks| serve(&command.bare, key, settings, &console, tasks),
    )
}

/// The key that clients must have, if they must.
///
/// # Errors
/// Its file cannot be read, or has none.
pub(crate) fn access_key(flags: &BareFlags) -> anyhow::Result<Option<String>> {
    let file = flags.access_key_file.as_deref();
    file.map(read_key).transpose()
}

/// A Bare server that tells the console of its requests.
///
/// # Errors
/// The certificates that it is to trust cannot be read.
pub(crate) fn serve(
    flags: &BareFlags,
    key: Option<String>,
    settings: &Settings,
    console: &Arc<Console>,
    tasks: &TaskTracker,
) -> anyhow::Result<Bare> {
    if let Some(key) = &key {
        console.hide(key);
    }
    let mut config = Config::new(client_config(settings.ca_file.as_deref())?);
    flags.apply(&mut config);
    config.key = key;
    let told = console.clone();
    config.log = Some(Arc::new(move |access| told.status(&access.to_string())));
    Ok(Bare::new(config, tasks))
}

/// Fewest characters of a key: what a path names is tried out by strangers.
const MIN_KEY: usize = 16;

/// The key that clients have in their URL.
fn read_key(file: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(file);
    let text = text.with_context(|| format!("cannot read {}", file.display()))?;
    let key = text.trim();
    let in_paths = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    if key.len() < MIN_KEY || !key.chars().all(in_paths) {
        let why = format!(
            "{}: the key is part of a URL; write {MIN_KEY} or more of a-z, A-Z, 0-9, '-', '.', '_' and '~'",
            file.display()
        );
        return Err(Misuse(why).into());
    }
    Ok(key.to_owned())
}

impl Local for Bare {
    fn http(
        &self,
        request: Request<LocalBody>,
        visitor: Visitor,
    ) -> BoxFuture<'_, Response<LocalBody>> {
        Self::http(self, request, visitor.addr).boxed()
    }

    fn socket(&self, request: Request<()>, visitor: Visitor) -> BoxFuture<'_, Upgrade> {
        upgrade(self, request, visitor.addr).boxed()
    }
}

async fn upgrade(bare: &Bare, request: Request<()>, visitor: IpAddr) -> Upgrade {
    match bare.socket(request, visitor).await {
        bare::Upgrade::Accepted { head, run } => Upgrade::Accepted {
            head,
            run: Box::new(move |socket: Socket| run(Box::pin(socket))),
        },
        bare::Upgrade::Refused(response) => Upgrade::Refused(response),
    }
}
