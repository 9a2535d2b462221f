//! The channel over TCP, from the settings: bound, with its key, and where agents are told that it is.

use std::net::TcpListener;

use identity::SecretKey;
use runtime::config::{ConfigError, Loaded};
use uplink::Channel;

use crate::listeners::{self, CHANNEL_LISTEN, Listeners};
use crate::settings::{Advertise, Settings};

/// A channel, and its listeners: one for each worker.
pub(crate) struct Bound {
    pub(crate) channel: Channel,
    pub(crate) sockets: Vec<TcpListener>,
}

/// Binds what the settings ask for; `None` when they ask for no channel.
///
/// # Errors
/// The address cannot be had, or the key file cannot be used.
pub(crate) fn bind(loaded: &Loaded<Settings>, workers: usize) -> anyhow::Result<Option<Bound>> {
    let settings = &loaded.settings;
    let Some(listen) = settings.channel_listen else {
        return Ok(None);
    };
    let key = match &settings.channel_key_file {
        Some(file) => {
            let (key, made) = SecretKey::load_or_create(file.as_path())
                .map_err(|error| loaded.fault("channel_key_file", error.to_string()))?;
            if made {
                tracing::info!(%file, "made a new key for the channel; each node that agents reach there needs a copy");
            }
            key
        }
        None => SecretKey::generate(),
    };
    let Listeners { address, sockets } = listeners::bind(CHANNEL_LISTEN, listen.0, workers)?;
    let derived = || match address.ip().is_unspecified() {
        true => Advertise::of(&settings.domain, address.port()),
        false => address.into(),
    };
    let advertise = settings.channel_advertise.clone().unwrap_or_else(derived);
    let bind_address = settings.channel_bind_address.0;
    let channel = Channel::new(&key, advertise.as_str(), bind_address)?;
    tracing::info!(%advertise, key = %channel.key(), "agents may come over TCP, on {address}");
    Ok(Some(Bound { channel, sockets }))
}

/// Whether the key file can be used, if there is one already.
///
/// # Errors
/// It cannot.
pub(crate) fn check(loaded: &Loaded<Settings>) -> Result<(), ConfigError> {
    let file = loaded.settings.channel_key_file.as_ref();
    let Some(file) = file.filter(|file| file.as_path().exists()) else {
        return Ok(());
    };
    match SecretKey::load(file.as_path()) {
        Ok(_) => Ok(()),
        Err(error) => Err(loaded.fault("channel_key_file", error.to_string())),
    }
}
