//! One WebSocket exchange: the target's answer to the upgrade, then the splice of its socket with the stream.

use std::time::Duration;

use exchange::socket::{Socket, Spliced, splice};
use exchange::{Receiver, Sender};
use http::{Method, StatusCode};
use messages::{RequestHead, Reset, ResetCode};
use tokio::time::timeout;

use crate::event::Outcome;
use crate::serve::{bad_response, fail, respond};
use crate::{Context, SocketAnswer, Target, TargetError};

/// How long a target may take to answer an upgrade. The server's own limit is shorter and resets the exchange; this frees
/// the task where that reset was lost.
const ANSWER: Duration = Duration::from_secs(60);

/// Asks the target for the WebSocket and carries its messages until either side ends.
pub(crate) async fn answer(
    target: &dyn Target,
    head: RequestHead,
    sender: Sender,
    receiver: Receiver,
    max_message: Option<u64>,
    status: &mut Option<StatusCode>,
) -> Outcome {
    let (context, answer) = Context::new(&head, sender, None, None);
    let answered = timeout(ANSWER, target.socket(head, context)).await;
    let Some(mut sender) = answer.take() else {
        return Outcome::Answered;
    };
    let late = TargetError::TimedOut("the target did not answer the upgrade".to_owned());
    match answered.unwrap_or(Err(late)) {
        Ok(SocketAnswer::Accepted { head, socket }) => {
            if let Err(error) = sender.accept(&head) {
                return fail(
                    &mut sender,
                    bad_response(format!("the answer cannot be carried: {error}")),
                );
            }
            *status = Some(StatusCode::SWITCHING_PROTOCOLS);
            let socket = Socket::client(socket, max_message).await;
            outcome(splice(socket, sender, receiver).await)
        }
        Ok(SocketAnswer::Refused(response)) => {
            match respond(&mut sender, response, &Method::GET, status).await {
                Ok(()) => Outcome::Answered,
                Err(reset) => fail(&mut sender, reset),
            }
        }
        Err(error) => fail(&mut sender, error.reset()),
    }
}

fn outcome(ended: Spliced) -> Outcome {
    match ended {
        Spliced::Cut(reset) => Outcome::Cut(reset),
        Spliced::BySocket(messages::Teardown::Lost) => Outcome::Failed(Reset::new(
            ResetCode::BadResponse,
            "the target's WebSocket was lost",
        )),
        Spliced::BySocket(_) | Spliced::ByPeer(_) | Spliced::Parted => Outcome::Answered,
    }
}
