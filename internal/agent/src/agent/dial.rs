//! Finds a server to hold a link to: dials, hears which node answered, and registers there or goes on looking.

use std::sync::Arc;
use std::time::Duration;

use messages::NodeId;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::sleep;
use tunnel::Transport;
use tunnel::handshake::{HANDSHAKE_TIMEOUT, HandshakeError, Registration, be_greeted};

use super::opening::Opening;
use super::pool::{Place, Pool};
use super::reach::{Connect, Reached};
use super::terms::{Stated, Terms};
use super::wish::Wishes;
use crate::Via;
use crate::backoff::{Backoff, spread};
use crate::error::{AgentError, LinkError};
use crate::link::Link;

/// How often another node is asked for before a link to a node that has one already is kept. A balancer that takes turns
/// among ten nodes meets a free one by then; one that goes by the agent's address never does.
const REDIALS: u32 = 5;

/// The longest pause before another node is asked for, so that the links of a whole fleet do not dial in step.
const REDIAL_PAUSE: Duration = Duration::from_millis(100);

/// How long a link that shares its node waits before it looks for another, and up to twice that. A fleet that has grown
/// is used within minutes; one that has not is asked a question a minute that costs it no signature.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Nodes that refused because they are going down, as many as are remembered while one link is looked for.
const SHUNNED: usize = 8;

/// Attempts at links that may be under way at once, shared by the agents of one process.
///
/// Servers let an address have so many handshakes under way (16, unless their operator says otherwise) and refuse those
/// beyond: agents that begin together wait here instead.
#[derive(Debug, Clone)]
pub struct Dials(Arc<Semaphore>);

impl Dials {
    /// At most so many at once, 1 or more.
    #[must_use]
    pub fn at_most(attempts: usize) -> Self {
        Self(Arc::new(Semaphore::new(attempts.max(1))))
    }

    async fn enter(&self) -> SemaphorePermit<'_> {
        let permit = self.0.acquire().await;
        permit.expect("it is never closed")
    }
}

/// Makes links for one session.
pub(super) struct Dialler<T> {
    pub(super) wishes: Wishes,
    pub(super) terms: Terms,
    pub(super) connect: Connect<T>,
    pub(super) pool: Arc<Pool>,
}

/// A link and its place in the pool.
pub(super) struct Found<T> {
    pub(super) link: Link<T>,
    pub(super) place: Place,
    /// The terms it was registered under.
    pub(super) terms: Arc<Stated>,
    pub(super) via: Via,
}

/// What is looked for.
#[derive(Clone, Copy)]
enum Seek {
    /// A node without a link, or any that is not going down when [`REDIALS`] have found none.
    Any,
    /// The same, but this node will do at once: the link that is there goes.
    Instead(NodeId),
    /// A node without a link, at the first attempt.
    Free,
}

/// Which node may have a link already.
#[derive(Clone, Copy)]
enum Share {
    None,
    Only(NodeId),
    Any,
}

impl Share {
    fn with(self, node: NodeId) -> bool {
        match self {
            Self::None => false,
            Self::Only(only) => only == node,
            Self::Any => true,
        }
    }
}

/// Nodes that are going down and have said so to this search.
#[derive(Default)]
pub(super) struct Shunned(Vec<NodeId>);

enum Miss {
    /// Nothing was signed.
    Elsewhere,
    Failed(LinkError),
}

impl<T: Transport + 'static> Dialler<T> {
    /// One round of attempts.
    ///
    /// # Errors
    /// Why there is no link; what the server refused is remembered in `shunned`.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection in the making.
    pub(super) async fn find(&self, shunned: &mut Shunned) -> Result<Found<T>, LinkError> {
        self.seek(Seek::Any, shunned).await
    }

    /// A link to go on with when a server has said that it is going down: looks until there is one. Failures are nobody's
    /// business meanwhile, since the old link serves.
    ///
    /// # Errors
    /// A server wants no link of this session any more.
    pub(super) async fn replacement(&self) -> Result<Found<T>, AgentError> {
        self.sought(Seek::Any).await
    }

    /// Waits until this agent states other terms: a link under those, to the same node where that is the one that answers.
    ///
    /// # Errors
    /// A server wants no link of this session any more.
    pub(super) async fn restated(
        &self,
        place: &Place,
        terms: &Arc<Stated>,
    ) -> Result<Found<T>, AgentError> {
        self.terms.other_than(terms).await;
        self.sought(Seek::Instead(place.node())).await
    }

    async fn sought(&self, seek: Seek) -> Result<Found<T>, AgentError> {
        let (mut shunned, mut backoff) = (Shunned::default(), Backoff::new());
        loop {
            match self.seek(seek, &mut shunned).await {
                Ok(found) => return Ok(found),
                Err(error) => {
                    let error = error.unless_final()?;
                    tracing::debug!(%error, "found no place for another link; trying again");
                    sleep(backoff.next_at_least(error.retry_after())).await;
                }
            }
        }
    }

    /// Waits until this link shares its node with another and there is a node for it alone: a link to that.
    ///
    /// # Errors
    /// A server wants no link of this session any more.
    pub(super) async fn better(&self, place: &Place) -> Result<Found<T>, AgentError> {
        loop {
            sleep(LOOK_AGAIN + spread(LOOK_AGAIN)).await;
            if !self.pool.is_shared(place) {
                continue;
            }
            match self.seek(Seek::Free, &mut Shunned::default()).await {
                Ok(found) => return Ok(found),
                Err(error) => {
                    let error = error.unless_final()?;
                    tracing::debug!(%error, "found no better node for this link");
                }
            }
        }
    }

    async fn seek(&self, seek: Seek, shunned: &mut Shunned) -> Result<Found<T>, LinkError> {
        let mut left = match seek {
            Seek::Any | Seek::Instead(_) => REDIALS,
            Seek::Free => 0,
        };
        loop {
            let share = match seek {
                Seek::Any | Seek::Instead(_) if left == 0 => Share::Any,
                Seek::Instead(node) => Share::Only(node),
                Seek::Any | Seek::Free => Share::None,
            };
            match self.attempt(share, shunned).await {
                Ok(found) => return Ok(found),
                Err(Miss::Failed(error)) => return Err(error),
                Err(Miss::Elsewhere) if left == 0 => return Err(LinkError::NoPlace),
                Err(Miss::Elsewhere) => left -= 1,
            }
            sleep(spread(REDIAL_PAUSE)).await;
        }
    }

    async fn attempt(&self, share: Share, shunned: &mut Shunned) -> Result<Found<T>, Miss> {
        let _turn = match &self.wishes.config.dials {
            Some(dials) => Some(dials.enter().await),
            None => None,
        };
        let Reached {
            mut transport,
            channel,
            via,
            heard,
        } = (self.connect)().await?;
        let mut opening = Opening::new(&mut transport, heard);
        let terms = self.terms.stated();
        let wish = self.wish(&mut opening, &terms, channel).await?;
        let greeted = be_greeted(&mut opening, &wish).await;
        let greeted = greeted.map_err(LinkError::from)?;
        let node = greeted.node();
        if shunned.0.contains(&node) {
            return Err(Miss::Elsewhere);
        }
        let may_share = share.with(node);
        let place = self.pool.reserve(node, may_share).map_err(|unwanted| {
            tracing::debug!(%node, ?unwanted, "dialling again for another node");
            Miss::Elsewhere
        })?;
        match greeted.register(&self.wishes.config.key).await {
            Ok(granted) => Ok(Found {
                link: Link::new(transport, granted),
                place,
                terms,
                via,
            }),
            Err(error) => {
                let error = LinkError::from(error);
                if error.is_draining() && shunned.0.len() < SHUNNED {
                    shunned.0.push(node);
                }
                Err(error.into())
            }
        }
    }

    /// What to ask the server for. Its Hello is heard for that only where nothing else tells the domain.
    async fn wish(
        &self,
        opening: &mut Opening<'_, T>,
        terms: &Stated,
        channel: Option<String>,
    ) -> Result<Registration, LinkError> {
        let domain = match self.wishes.needs_domain() {
            true => opening.domain(HANDSHAKE_TIMEOUT).await?,
            false => String::new(),
        };
        Ok(Registration {
            generation: self.pool.generation(),
            channel,
            ..self.wishes.under(&domain, terms)?
        })
    }
}

impl From<HandshakeError> for LinkError {
    fn from(error: HandshakeError) -> Self {
        Self::Register(error.into())
    }
}

impl From<LinkError> for Miss {
    fn from(error: LinkError) -> Self {
        Self::Failed(error)
    }
}
