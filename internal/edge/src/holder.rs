//! Who answers for the name that a request asks for: an agent, or the server.
//!
//! The tunnel is exactly the one that was named. Where an operator granted a name
//! and a wildcard beside it, who holds the name has it; that he is not there must
//! be known before the wildcard's holder gets his visitors, so while the fleet
//! cannot be asked nobody gets them.

use std::net::IpAddr;

use messages::TunnelId;

use crate::{
    edge::Edge,
    failure::Failure,
    host::{Addressed, Destination},
    route::Offers,
};

/// Who answers a request.
#[derive(Debug)]
pub(crate) enum Holder {
    /// The agent of this tunnel, over one of these links.
    Agent(TunnelId, Offers),
    /// Adit's own pages.
    Server,
}

/// Finds the holder of a name. Counts the request against the limits of the
/// visitor and the tunnel, unless it is for a page of the server.
///
/// # Errors
/// Why there is nobody, or which limit is exceeded.
pub(crate) async fn find(
    edge: &Edge,
    addressed: &Addressed,
    path: &str,
    visitor: IpAddr,
) -> Result<Holder, Failure> {
    let search = Search {
        edge,
        name: &addressed.name,
        visitor,
    };
    let found = match addressed.destination {
        Destination::Own => None,
        Destination::Base(_) if is_reserved(path) => None,
        destination => {
            edge.limits.visit(visitor).map_err(Failure::OverRate)?;
            search.tunnel(destination).await?
        }
    };
    let Some((tunnel, offers)) = found else {
        return Ok(Holder::Server);
    };
    edge.limits.call(tunnel).map_err(Failure::OverRate)?;
    Ok(Holder::Agent(tunnel, offers))
}

/// Paths of the base domain that are the server's whoever holds the rest.
fn is_reserved(path: &str) -> bool {
    path.strip_prefix("/_adit")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

struct Search<'a> {
    edge: &'a Edge,
    name: &'a str,
    visitor: IpAddr,
}

type Found = (TunnelId, Offers);

impl Search<'_> {
    /// `None` for the server itself.
    async fn tunnel(&self, destination: Destination) -> Result<Option<Found>, Failure> {
        match destination {
            Destination::Own => Ok(None),
            Destination::Base(root) => self.root(root).await,
            Destination::Tunnel(tunnel) => {
                let found = self.live(tunnel).await?;
                found
                    .ok_or_else(|| self.missed(Failure::TunnelOffline))
                    .map(Some)
            }
            Destination::Granted { exact, wildcard } => self.granted(exact, wildcard).await,
            Destination::Unknown => Err(Failure::UnknownHost),
        }
    }

    /// The base domain is a page of the server where nobody has it: it is no miss,
    /// and where the operator has granted it to nobody not worth a look-up.
    async fn root(&self, root: TunnelId) -> Result<Option<Found>, Failure> {
        let is_granted = self.edge.config.granted.has(self.name);
        if is_granted == Some(false) {
            return Ok(None);
        }
        match Offers::begin(self.edge, root).await {
            Ok(offers) => Ok(Some((root, offers))),
            Err(Failure::BusUnavailable) if is_granted == Some(true) => {
                Err(Failure::BusUnavailable)
            }
            Err(Failure::TunnelOffline | Failure::BusUnavailable) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn granted(
        &self,
        exact: TunnelId,
        wildcard: Option<TunnelId>,
    ) -> Result<Option<Found>, Failure> {
        for tunnel in [Some(exact), wildcard].into_iter().flatten() {
            if let Some(found) = self.live(tunnel).await? {
                return Ok(Some(found));
            }
        }
        let is_granted = self.edge.config.granted.has(self.name) == Some(true);
        Err(self.missed(if is_granted {
            Failure::TunnelOffline
        } else {
            Failure::UnknownHost
        }))
    }

    /// `None` when nobody holds the tunnel. What this node holds itself is found
    /// for visitors too whose look-ups found nothing too often.
    async fn live(&self, tunnel: TunnelId) -> Result<Option<Found>, Failure> {
        if let Err(excess) = self.edge.limits.search(self.visitor)
            && self.edge.directory.local(tunnel).is_none()
        {
            return Err(Failure::OverRate(excess));
        }
        match Offers::begin(self.edge, tunnel).await {
            Ok(offers) => Ok(Some((tunnel, offers))),
            Err(Failure::TunnelOffline) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn missed(&self, failure: Failure) -> Failure {
        self.edge.limits.missed(self.visitor);
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_reserved_folder_is_reserved() {
        for path in ["/_adit", "/_adit/", "/_adit/connect", "/_adit/anything"] {
            assert!(is_reserved(path), "{path}");
        }
        for path in [
            "/",
            "/_aditx",
            "/_ADIT/connect",
            "//_adit/connect",
            "/x/_adit/",
            "*",
        ] {
            assert!(!is_reserved(path), "{path}");
        }
    }
}
