//! `adit ws`: a WebSocket relay, at the end of a tunnel or on a listener of this machine.

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use http::header::{CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{Request, Response, StatusCode};
use relay::{Opened, Relay};

use crate::args::Ws;
use crate::local::{Local, LocalBody, Socket, Upgrade, Visitor, full};
use crate::publish;
use crate::settings::Variable;

/// Runs `adit ws …` until a signal, or until the agent must not go on.
pub(crate) fn run(
    command: &Ws,
    variables: impl IntoIterator<Item = Variable>,
) -> anyhow::Result<()> {
    publish::local(
        &command.publish,
        |layers| command.layers(layers),
        command.listen,
        &command.called(),
        variables,
        |settings, _console, tasks| Ok(Relay::new(settings.relay()?, tasks)),
    )
}

impl Local for Relay {
    fn http(
        &self,
        _request: Request<LocalBody>,
        _visitor: Visitor,
    ) -> BoxFuture<'_, Response<LocalBody>> {
        let mut response = plain(
            StatusCode::UPGRADE_REQUIRED,
            "this address speaks WebSocket alone; connect with ws:// or wss://",
        );
        let upgrade = HeaderValue::from_static("websocket");
        response.headers_mut().insert(UPGRADE, upgrade);
        ready(response).boxed()
    }

    fn socket(&self, request: Request<()>, _visitor: Visitor) -> BoxFuture<'_, Upgrade> {
        async move {
            let opened = self.open(request.headers()).await;
            drop(request);
            match opened {
                Ok(opened) => accepted(opened),
                Err(refused) => Upgrade::Refused(plain(refused.status, refused.why)),
            }
        }
        .boxed()
    }

    fn scheme(&self) -> &'static str {
        "ws"
    }

    fn close(&self) {
        Self::close(self);
    }
}

fn accepted(opened: Opened) -> Upgrade {
    let Opened { protocol, visit } = opened;
    let mut head = Response::new(());
    *head.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    if let Some(protocol) = protocol {
        head.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Upgrade::Accepted {
        head,
        run: Box::new(|socket: Socket| visit.run(socket).boxed()),
    }
}

fn plain(status: StatusCode, why: &'static str) -> Response<LocalBody> {
    let mut response = Response::new(full(format!("{why}\n")));
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}
