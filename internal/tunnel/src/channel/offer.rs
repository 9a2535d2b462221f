//! Asking for a ticket: the server's Hello over HTTP, then a signed request, both on one connection where that lasts.
//!
//! One connection, because behind a balancer that is one node: nodes that do not share a key know only their own nonces.

use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use identity::{SecretKey, sign_ticket_request};
use messages::{
    Flags, Frame, Hello, MAX_TICKET, Message, RegistrationResponse, StreamId, TICKETS_PATH, Tag,
    Ticket,
};
use tokio::time::timeout;

use super::ChannelError;
use crate::handshake::{RegisterError, Registration};
use crate::text::printable;
use crate::ws::{ConnectError, ConnectOptions, Endpoint, Socket, open};

/// A server that offers tickets, and what it says of itself. Nothing has been signed for it.
#[must_use = "an offer is there to be asked for a ticket"]
pub struct Offer {
    way: Way,
    hello: Hello,
}

/// Asks a server whether it offers tickets.
///
/// # Errors
/// It cannot be asked, or offers none.
///
/// # Cancel safety
/// Dropping the future closes the connection.
pub async fn hear_offer(
    endpoint: &Endpoint,
    options: &ConnectOptions,
) -> Result<Offer, ChannelError> {
    let mut way = Way {
        endpoint: endpoint.clone(),
        options: options.clone(),
        connection: None,
    };
    let (status, answer) = way.exchange(Method::GET, Bytes::new()).await?;
    if status != StatusCode::OK {
        return Err(way.refusal(status, answer));
    }
    let Some(Message::Hello(hello)) = heard(Tag::Hello, answer.body) else {
        return Err(way.wrong("its Hello makes no sense"));
    };
    Ok(Offer { way, hello })
}

impl Offer {
    /// What the server says of itself.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Signs and asks. `wish` is the registration to come, which has no channel yet.
    ///
    /// # Errors
    /// The server is not one that the wish is for, or gives no ticket.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection. A ticket that was given is void in seconds.
    pub async fn ask(self, key: &SecretKey, wish: &Registration) -> Result<Ticket, ChannelError> {
        let Self { mut way, hello } = self;
        let claims = wish.claims_for(key, &hello)?;
        let request = sign_ticket_request(key, &claims);
        let (status, answer) = way.exchange(Method::POST, request.into()).await?;
        if status != StatusCode::OK {
            return Err(way.refusal(status, answer));
        }
        let ticket = Ticket::from_json(&answer.body)
            .map_err(|error| way.wrong(&format!("its ticket makes no sense: {error}")))?;
        if ticket.thumbprint != key.public().thumbprint().to_string() {
            return Err(way.wrong("its ticket is for another key"));
        }
        Ok(ticket)
    }
}

/// HTTP to one server.
struct Way {
    endpoint: Endpoint,
    options: ConnectOptions,
    connection: Option<Connection>,
}

struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Pin<Box<http1::Connection<TokioIo<Socket>, Full<Bytes>>>>,
}

struct Answer {
    body: Bytes,
    retry_after: Option<HeaderValue>,
}

impl Way {
    async fn exchange(
        &mut self,
        method: Method,
        body: Bytes,
    ) -> Result<(StatusCode, Answer), ChannelError> {
        let limit = self.options.timeout;
        let exchange = async {
            let mut kept = self.connection.take();
            if let Some(connection) = &mut kept
                && !connection.is_open().await
            {
                kept = None;
            }
            let mut connection = match kept {
                Some(connection) => connection,
                None => self.open().await?,
            };
            let request = self.request(method, body);
            let answer = connection.exchange(request).await;
            let answer = answer.map_err(|reason| self.wrong(&reason))?;
            self.connection = Some(connection);
            Ok(answer)
        };
        timeout(limit, Box::pin(exchange))
            .await
            .unwrap_or_else(|_| {
                Err(ChannelError::Asking(ConnectError::TimedOut {
                    endpoint: self.endpoint.clone(),
                    hop: "being asked for a ticket",
                    after: limit,
                }))
            })
    }

    async fn open(&self) -> Result<Connection, ChannelError> {
        let (socket, _) = open(&self.endpoint, &self.options).await?;
        let shaken = http1::handshake(TokioIo::new(socket)).await;
        let (sender, driver) = shaken.map_err(|error| self.wrong(&error.to_string()))?;
        Ok(Connection {
            sender,
            driver: Box::pin(driver),
        })
    }

    fn request(&self, method: Method, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.uri_mut() = http::Uri::from_static(TICKETS_PATH);
        let host = HeaderValue::try_from(self.endpoint.authority());
        let fields = request.headers_mut();
        fields.insert(
            HOST,
            host.expect("an authority has only visible characters"),
        );
        fields.insert(USER_AGENT, self.options.user_agent.clone());
        if method == Method::POST {
            fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/jose"));
        }
        *request.method_mut() = method;
        request
    }

    /// What an answer without a ticket means. A refusal of the server's own is in the words of the handshake.
    fn refusal(&self, status: StatusCode, answer: Answer) -> ChannelError {
        if let Some(Message::RegistrationResponse(RegistrationResponse::Refused(mut refused))) =
            heard(Tag::RegistrationResponse, answer.body)
        {
            refused.message = printable(&refused.message);
            return RegisterError::Refused(refused).into();
        }
        if status == StatusCode::NOT_FOUND {
            return ChannelError::NotOffered(self.endpoint.clone());
        }
        let mut response = Response::new(());
        *response.status_mut() = status;
        if let Some(after) = answer.retry_after {
            response.headers_mut().insert(RETRY_AFTER, after);
        }
        ConnectError::refused(self.endpoint.clone(), &response).into()
    }

    fn wrong(&self, reason: &str) -> ChannelError {
        ChannelError::Answer {
            endpoint: self.endpoint.clone(),
            reason: reason.to_owned(),
        }
    }
}

impl Connection {
    /// Waits until another request may be sent. Not every server keeps a connection.
    async fn is_open(&mut self) -> bool {
        tokio::select! {
            biased;
            ready = self.sender.ready() => ready.is_ok(),
            _ = &mut self.driver => false,
        }
    }

    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Answer), String> {
        let asking = async {
            let response = self.sender.send_request(request).await;
            read(response.map_err(|error| error.to_string())?).await
        };
        tokio::pin!(asking);
        tokio::select! {
            biased;
            answer = &mut asking => return answer,
            // Its end is the end of the answer too, which is there then.
            _ = &mut self.driver => {}
        }
        asking.await
    }
}

async fn read(response: Response<Incoming>) -> Result<(StatusCode, Answer), String> {
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, MAX_TICKET).collect().await;
    let answer = Answer {
        body: body.map_err(|error| error.to_string())?.to_bytes(),
        retry_after: parts.headers.get(RETRY_AFTER).cloned(),
    };
    Ok((parts.status, answer))
}

/// The message of a link that a body is the payload of, if it is one.
fn heard(tag: Tag, body: Bytes) -> Option<Message> {
    Message::decode(&Frame::new(tag, Flags::NONE, StreamId::LINK, body)).ok()
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offer")
            .field("endpoint", &self.way.endpoint)
            .field("node", &self.hello.node)
            .finish_non_exhaustive()
    }
}
