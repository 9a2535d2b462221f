//! A server, an agent and a service of ours behind it.

use testkit::{
    origin::Origin,
    process::{Agent, Key, Server},
    visitor::Visitor,
};

/// All three, for as long as a test runs.
pub(crate) struct Tunnel {
    pub(crate) agent: Agent,
    pub(crate) origin: Origin,
    _server: Server,
}

impl Tunnel {
    /// To `origin`, with every default.
    pub(crate) async fn to(origin: Origin) -> Self {
        Self::asking(&[], origin).await
    }

    /// To `origin`, by an agent with these options.
    pub(crate) async fn asking(options: &[&str], origin: Origin) -> Self {
        Self::through(Server::start(&[]).await, options, origin).await
    }

    /// To `origin`, through a server with these settings.
    pub(crate) async fn configured(settings: &str, origin: Origin) -> Self {
        Self::through(Server::configured(settings).await, &[], origin).await
    }

    /// To `origin`, through that server, by an agent with these options.
    pub(crate) async fn through(server: Server, options: &[&str], origin: Origin) -> Self {
        let options = [&["-q"], options].concat();
        let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &options).await;
        Self {
            agent,
            origin,
            _server: server,
        }
    }

    pub(crate) fn visitor(&self) -> Visitor {
        self.agent.visitor()
    }
}
