//! A visit over the shared connection.

use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::sync::{Semaphore, mpsc};

use super::{Answer, Ask, Asker, Shared, UNDER_WAY};
use crate::failure::{Failure, Why};
use crate::intake::{Intake, Wanted};
use crate::relay::Inner;
use crate::socket::In;
use crate::speaker::{Over, Speaker, hear};

/// Serves a visitor to the end. Dropping the future cuts the visitor off; the connection lives on.
pub(crate) async fn visit(
    relay: &Inner,
    shared: Shared,
    mut from: In,
    to: Speaker,
    mut intake: Intake,
) {
    let (answers, mut answered) = mpsc::channel(UNDER_WAY);
    let over = tokio::select! {
        over = up(shared, answers, &mut from, &to, &mut intake) => over,
        over = down(&mut answered, &to) => over,
        () = relay.closing.cancelled() => Over::Close(Some(Why::Going.close())),
    };
    intake.finish();
    to.end(&mut from, over).await;
}

/// Visitor to connection.
async fn up(
    shared: Shared,
    answers: mpsc::Sender<Answer>,
    from: &mut In,
    to: &Speaker,
    intake: &mut Intake,
) -> Over {
    let under_way = Arc::new(Semaphore::new(UNDER_WAY));
    loop {
        while let Some(given) = intake.next() {
            let passed = match given {
                Ok(wanted) => ask(&shared, &answers, &under_way, wanted).await,
                Err(failure) => Err(failure),
            };
            if let Err(failure) = passed
                && let Err(over) = to.fail(failure).await
            {
                return over;
            }
        }
        if let Err(over) = to.flush_told().await {
            return over;
        }
        match hear(from).await {
            Ok(message) => intake.take(message),
            Err(over) => return over,
        }
    }
}

async fn ask(
    shared: &Shared,
    answers: &mpsc::Sender<Answer>,
    under_way: &Arc<Semaphore>,
    wanted: Wanted,
) -> Result<(), Failure> {
    let (id, correlation) = (wanted.id, wanted.event.correlation.clone());
    let going = || Failure {
        id,
        correlation: correlation.clone(),
        why: Why::Going,
    };
    let permit = under_way.clone().acquire_owned().await;
    let asker = Asker {
        id,
        correlation: correlation.clone(),
        answers: answers.clone(),
        permit: permit.map_err(|_| going())?,
    };
    let asked = shared.send(Ask { wanted, asker }).await;
    asked.map_err(|_| going())
}

/// Connection to visitor.
async fn down(answered: &mut mpsc::Receiver<Answer>, to: &Speaker) -> Over {
    loop {
        let answer = match answered.recv().now_or_never() {
            Some(answer) => answer,
            None => {
                if let Err(over) = to.flush().await {
                    return over;
                }
                answered.recv().await
            }
        };
        // `up` holds a sender for as long as it runs.
        let Some(Answer { said, permit }) = answer else {
            return Over::Lost;
        };
        if let Err(over) = say(said, to).await {
            return over;
        }
        drop(permit);
    }
}

async fn say(
    said: Result<Vec<tokio_tungstenite::tungstenite::Message>, Failure>,
    to: &Speaker,
) -> Result<(), Over> {
    match said {
        Ok(messages) => {
            for message in messages {
                to.feed(message).await?;
            }
            Ok(())
        }
        Err(failure) => to.fail(failure).await,
    }
}
