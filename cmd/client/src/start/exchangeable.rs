//! A target in whose place another can be put while an agent serves it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agent::{Context, RequestBody, SocketAnswer, Target, TargetBody, TargetError};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use messages::RequestHead;

/// Hands each exchange to the target that is there when it begins. What is under way keeps its own.
pub(super) struct Exchangeable(Mutex<Arc<dyn Target>>);

impl Exchangeable {
    pub(super) fn new(target: Arc<dyn Target>) -> Self {
        Self(Mutex::new(target))
    }

    pub(super) fn exchange(&self, target: Arc<dyn Target>) {
        *self.lock() = target;
    }

    fn lock(&self) -> MutexGuard<'_, Arc<dyn Target>> {
        // An assignment is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Target for Exchangeable {
    fn http(
        &self,
        request: Request<RequestBody>,
        context: Context,
    ) -> BoxFuture<'_, Result<Response<TargetBody>, TargetError>> {
        let target = self.lock().clone();
        async move { target.http(request, context).await }.boxed()
    }

    fn socket(
        &self,
        head: RequestHead,
        context: Context,
    ) -> BoxFuture<'_, Result<SocketAnswer, TargetError>> {
        let target = self.lock().clone();
        async move { target.socket(head, context).await }.boxed()
    }
}
