//! Tickets for the channel: given over HTTP to whoever proves a key that may come
//! in, taken once, from any node, by whoever shows that key.
//!
//! Nothing is remembered of a nonce, and of a ticket only whose it is, in the
//! directory, for half a minute. A ticket that leaks opens nothing: it is for one
//! key, and the channel asks for that key first.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bus::Unavailable;
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE},
};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Body;
use identity::{Expectation, PublicKey, TicketRequest, random_bytes, verify_ticket_request};
use messages::{
    Hello, MAX_REGISTRATION, PROTOCOL_VERSION, RefusalCode, Refused, TICKET_LIFETIME, Ticket,
};
use tokio::time::timeout;

use crate::{
    admission::standing::Standing, admit::seconds_since_1970, channel::Channel, claim, refusal,
    uplink::Uplink,
};

/// Bytes of a thumbprint: what a stored ticket begins with.
const THUMBPRINT: usize = 32;

/// Why a ticket lets nobody in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Rejected {
    #[error(
        "the ticket is unknown: it was used, or its time is over, or it never was; ask for another"
    )]
    Unknown,
    #[error("the ticket is for another key")]
    OtherKey,
    #[error(
        "the ticket was asked for from another address, and this server binds tickets to it; ask for one from here"
    )]
    OtherAddress,
    #[error("tickets cannot be looked up at present; ask for another")]
    Unavailable(#[from] Unavailable),
}

impl Uplink {
    /// Answers a request for `/_adit/tickets` from `peer`: a Hello to GET, a ticket
    /// to a POST of a signed request over it. A refusal is the JSON of a refused
    /// registration. Reads at most what a request may have, and not for longer
    /// than a handshake may take.
    ///
    /// Cancel safe: dropped, a ticket may have been given that nobody has.
    pub async fn ticket<B>(
        self: Arc<Self>,
        request: Request<B>,
        peer: SocketAddr,
    ) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Some(channel) = &self.config.channel else {
            return plain(
                StatusCode::NOT_FOUND,
                "This server has no channel over TCP: agents connect to it by WebSocket.\n",
            );
        };
        if self.is_draining() {
            return refusal::over_http(refusal::draining());
        }
        match *request.method() {
            Method::GET => json(self.hello(channel)),
            Method::POST => match self.give(channel, request, peer).await {
                Ok(ticket) => json(ticket.to_json().into()),
                Err(refused) => {
                    self.counters.tickets_refused.count();
                    tracing::info!(%peer, code = refused.code.as_str(), reason = refused.message, "gave no ticket");
                    refusal::over_http(refused)
                }
            },
            _ => {
                let mut answer = plain(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "Agents ask for tickets here, with GET and then POST.\n",
                );
                answer
                    .headers_mut()
                    .insert(ALLOW, HeaderValue::from_static("GET, POST"));
                answer
            }
        }
    }

    fn hello(&self, channel: &Channel) -> Bytes {
        let time = seconds_since_1970();
        let hello = Hello {
            nonce: channel.nonces.mint(time),
            node: self.bus.node(),
            domain: self.config.domain.clone(),
            time,
            versions: vec![PROTOCOL_VERSION],
            limits: self.config.limits.clone(),
        };
        hello.encode().payload
    }

    /// Judges a request by what a registration would be judged by, as far as that
    /// takes no link, and puts a ticket into the directory.
    async fn give<B>(
        &self,
        channel: &Channel,
        request: Request<B>,
        peer: SocketAddr,
    ) -> Result<Ticket, Refused>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        // Before anything is read. A link would be refused by the same caps, but could not be told.
        let capped = |cap| {
            self.counters.capped.count();
            refusal::of_cap(cap)
        };
        self.counts.check(peer.ip()).map_err(capped)?;
        let _asking = self.tickets.enter(peer.ip()).map_err(capped)?;
        let jws = self.read(request).await?;
        let wanted = self.verified(channel, &jws, peer)?;
        let (mut standing, _) =
            Standing::of(wanted.asked()).map_err(|denial| refusal::of_denial(&denial))?;
        claim::judge(self, &mut standing)
            .await
            .map_err(|denial| refusal::of_denial(&denial))?;

        let id = random_bytes();
        let value = stored(&wanted, channel.bind_address.then_some(peer));
        let life = Duration::from_secs(TICKET_LIFETIME);
        let put = self.directory.put(&key_of(&id), value, life).await;
        put.map_err(refusal::of_ticket)?;
        self.counters.tickets.count();
        tracing::debug!(%peer, key = %wanted.key().thumbprint(), username = wanted.username(), "gave a ticket");
        Ok(Ticket {
            ticket: id,
            address: channel.advertise.to_string(),
            expires: seconds_since_1970().saturating_add(TICKET_LIFETIME),
            thumbprint: wanted.key().thumbprint().to_string(),
            node: self.bus.node(),
            public_key: *channel.key().as_bytes(),
        })
    }

    async fn read<B>(&self, request: Request<B>) -> Result<Bytes, Refused>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let body = Box::pin(Limited::new(request.into_body(), MAX_REGISTRATION).collect());
        match timeout(self.config.handshake_timeout, body).await {
            Ok(Ok(read)) => Ok(read.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(refusal::of_request(
                RefusalCode::TooLarge,
                "a request for a ticket has at most 8 KiB",
            )),
            Ok(Err(_)) | Err(_) => Err(refusal::of_request(
                RefusalCode::BadRequest,
                "the request for a ticket did not come whole, or not in time",
            )),
        }
    }

    fn verified(
        &self,
        channel: &Channel,
        jws: &[u8],
        peer: SocketAddr,
    ) -> Result<TicketRequest, Refused> {
        let config = &self.config;
        let expectation = Expectation {
            audiences: &|audience| config.accepts_audience(audience, peer.ip()),
            domain: &config.domain,
            nonce: &[0; 32],
            now: seconds_since_1970(),
            channel: None,
        };
        let verified = verify_ticket_request(jws, &channel.nonces, &expectation);
        let verified =
            verified.map_err(|error| refusal::of_request(error.refusal(), &error.to_string()))?;
        if !verified
            .asked()
            .claims()
            .versions
            .contains(&PROTOCOL_VERSION)
        {
            return Err(refusal::of_request(
                RefusalCode::UnsupportedVersion,
                "agent and server have no version in common; update the older of the two",
            ));
        }
        Ok(verified)
    }
}

/// Takes a ticket that `key` has shown. Whatever comes of it, it is gone.
pub(crate) async fn redeem(
    uplink: &Uplink,
    ticket: &[u8; 32],
    key: PublicKey,
    peer: SocketAddr,
) -> Result<(), Rejected> {
    let stored = uplink.directory.take(&key_of(ticket)).await?;
    let stored = stored.ok_or(Rejected::Unknown)?;
    let (owner, address) = stored
        .split_at_checked(THUMBPRINT)
        .ok_or(Rejected::Unknown)?;
    if owner != key.thumbprint().as_bytes() {
        return Err(Rejected::OtherKey);
    }
    if !address.is_empty() && address != address_of(peer).as_bytes() {
        return Err(Rejected::OtherAddress);
    }
    Ok(())
}

/// Whose a ticket is, and from where alone it is good.
fn stored(wanted: &TicketRequest, only_from: Option<SocketAddr>) -> Bytes {
    let mut value = wanted.key().thumbprint().as_bytes().to_vec();
    if let Some(peer) = only_from {
        value.extend_from_slice(address_of(peer).as_bytes());
    }
    value.into()
}

fn address_of(peer: SocketAddr) -> String {
    format!("{:?}", limit::Crowd::of(peer.ip()))
}

fn key_of(ticket: &[u8; 32]) -> String {
    format!("ticket:{}", BASE64URL_NOPAD.encode(ticket))
}

fn json(body: Bytes) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body));
    let fields = answer.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(text));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, plain);
    answer
}
