//! One connection to the upstream for all visitors.
//!
//! Each request is given a number in the field that the configuration names, and the answer that carries the number is
//! its visitor's alone, with the field as they wrote it. So nobody waits for anybody, a silent upstream costs only who
//! asked, and nothing that the upstream says can be taken for somebody else's answer.

mod table;
mod task;
mod visit;

use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::task::TaskTracker;

use self::task::Task;
use crate::failure::{EventId, Failure, Why};
use crate::intake::Wanted;
use crate::relay::Inner;
use crate::rules::Pointer;

pub(crate) use self::visit::visit;

/// Requests that wait to be sent, of all visitors. Behind that visitors are no longer read.
const QUEUE: usize = 128;

/// Requests of one visitor that are under way. Behind that the visitor is no longer read, so this many answers are the
/// most that is held for one who does not listen.
const UNDER_WAY: usize = 16;

/// The way to the shared connection.
pub(crate) type Shared = mpsc::Sender<Ask>;

/// A visitor's request.
pub(crate) struct Ask {
    wanted: Wanted,
    asker: Asker,
}

/// Who asked, and what they know the request by.
struct Asker {
    id: EventId,
    correlation: Option<Value>,
    answers: mpsc::Sender<Answer>,
    /// One of [`UNDER_WAY`], until the visitor has been told.
    permit: OwnedSemaphorePermit,
}

/// What a visitor is told.
struct Answer {
    said: Result<Vec<Message>, Failure>,
    permit: OwnedSemaphorePermit,
}

impl Asker {
    /// There is room: as many answers are under way at most as the channel holds. A visitor who has left hears nothing.
    fn answer(self, said: Result<Vec<Message>, Failure>) {
        let permit = self.permit;
        self.answers.try_send(Answer { said, permit }).ok();
    }

    fn fail(self, why: Why) {
        let failure = Failure {
            id: self.id,
            correlation: self.correlation.clone(),
            why,
        };
        self.answer(Err(failure));
    }
}

/// Starts the task that has the connection. It ends when nobody can ask any more.
pub(crate) fn start(relay: &Inner, pointer: Pointer, tasks: &TaskTracker) -> Shared {
    let (shared, asks) = mpsc::channel(QUEUE);
    let task = Task::new(relay.config.clone(), pointer, relay.closing.clone(), asks);
    tasks.spawn(task.run());
    shared
}
