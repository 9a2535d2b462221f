//! A rule as a tower layer.
//!
//! Every rule is wrapped in the same way: switched off it hands a request straight
//! to the next service, without a box or an await of its own; switched on it costs
//! one boxed future.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::{BoxFuture, Either};
use http::Response;
use tower::{Layer, Service};

use crate::{body::Body, failure::Failure, request::Call};

/// What comes of a request: a response, or why Adit answers itself.
pub(crate) type Answer = Result<Response<Body>, Failure>;

/// What a rule needs of the service below it. All are always ready.
pub(crate) trait Next:
    Service<Call, Response = Response<Body>, Error = Failure, Future: Send> + Clone + Send + 'static
{
}

impl<S> Next for S where
    S: Service<Call, Response = Response<Body>, Error = Failure, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// One rule of a policy.
pub(super) trait Rule: Send + Sync + 'static {
    /// Refuses a request, or passes it on as the rule wants it, and the response
    /// back. Cancel safe where `next` is.
    fn apply<S: Next>(&self, call: Call, next: S) -> impl Future<Output = Answer> + Send;
}

/// The layer of a rule, which a policy may leave out.
#[derive(Debug)]
pub(super) struct RuleLayer<R>(Option<Arc<R>>);

impl<R> RuleLayer<R> {
    pub(super) fn new(rule: Option<R>) -> Self {
        Self(rule.map(Arc::new))
    }
}

impl<R, S> Layer<S> for RuleLayer<R> {
    type Service = Ruled<R, S>;

    fn layer(&self, next: S) -> Ruled<R, S> {
        Ruled {
            rule: self.0.clone(),
            next,
        }
    }
}

/// A service behind a rule.
#[derive(Debug)]
pub(super) struct Ruled<R, S> {
    rule: Option<Arc<R>>,
    next: S,
}

impl<R, S: Clone> Clone for Ruled<R, S> {
    fn clone(&self) -> Self {
        Self {
            rule: self.rule.clone(),
            next: self.next.clone(),
        }
    }
}

impl<R: Rule, S: Next> Service<Call> for Ruled<R, S> {
    type Response = Response<Body>;
    type Error = Failure;
    type Future = Either<S::Future, BoxFuture<'static, Answer>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.next.poll_ready(cx)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let Some(rule) = self.rule.clone() else {
            return Either::Left(self.next.call(call));
        };
        // The one that was asked whether it is ready, and not a copy of it.
        let copy = self.next.clone();
        let next = std::mem::replace(&mut self.next, copy);
        Either::Right(Box::pin(async move { rule.apply(call, next).await }))
    }
}
