//! The order of the rules. It is written down here and nowhere else.
//!
//! A request goes down the list and its response up again. Refusals are errors
//! until they leave the list (or meet `cors`), so what changes responses changes
//! those of the service and never Adit's own pages.

use futures_util::future::{BoxFuture, FutureExt};
use messages::{Policy, PolicyId};
use tower::{ServiceBuilder, ServiceExt};

use super::{
    Shared,
    addresses::Addresses,
    compress::Compress,
    cors::Cors,
    https::HttpsOnly,
    layer::{Answer, Next, RuleLayer},
    password::BasicAuth,
    path::Prefixes,
    request_fields::RequestFields,
    response_fields::ResponseFields,
    robots::NoRobots,
    webhook::Webhook,
};
use crate::request::Call;

/// The rules of one policy, compiled.
#[derive(Debug)]
pub(crate) struct Stack {
    addresses: RuleLayer<Addresses>,
    https: RuleLayer<HttpsOnly>,
    cors: RuleLayer<Cors>,
    password: RuleLayer<BasicAuth>,
    webhook: RuleLayer<Webhook>,
    robots: RuleLayer<NoRobots>,
    compress: RuleLayer<Compress>,
    response_fields: RuleLayer<ResponseFields>,
    path: RuleLayer<Prefixes>,
    request_fields: RuleLayer<RequestFields>,
}

impl Stack {
    /// Compiles a policy that has been checked.
    pub(super) fn compile(policy: &Policy, id: PolicyId, shared: &Shared) -> Self {
        Self {
            addresses: RuleLayer::new(Addresses::of(policy)),
            https: RuleLayer::new(HttpsOnly::of(policy)),
            cors: RuleLayer::new(Cors::of(policy)),
            password: RuleLayer::new(BasicAuth::of(policy, id, &shared.passwords)),
            webhook: RuleLayer::new(Webhook::of(policy, &shared.holding)),
            robots: RuleLayer::new(NoRobots::of(policy)),
            compress: RuleLayer::new(Compress::of(policy, &shared.coders)),
            response_fields: RuleLayer::new(ResponseFields::of(policy, &shared.domain)),
            path: RuleLayer::new(Prefixes::of(policy)),
            request_fields: RuleLayer::new(RequestFields::of(policy)),
        }
    }

    /// Treats one request by the rules; what passes them is `exchange`'s to answer. Boxed, so that the future of a
    /// request for a tunnel without rules stays small.
    pub(crate) fn answer<S: Next>(&self, call: Call, exchange: S) -> BoxFuture<'static, Answer> {
        ServiceBuilder::new()
            // Who must stay out learns nothing else of the tunnel, and costs least.
            .layer(&self.addresses)
            // Before anything secret is asked for: no password and no signature is wanted in the clear.
            .layer(&self.https)
            // Above the password: preflights never carry one (Fetch, 4.8). They are answered here and reach nobody.
            // Refusals from below are made readable to the pages that may read; those from above are not for pages.
            .layer(&self.cors)
            // Before the signature: who does not know the password does not make us hold a body.
            .layer(&self.password)
            // Above all that changes the request: what was signed is what the sender sent.
            .layer(&self.webhook)
            // Above the fields of responses: a rule that sets X-Robots-Tag has spoken.
            .layer(&self.robots)
            // Above the fields of responses too: a Cache-Control or Content-Encoding that they set counts.
            .layer(&self.compress)
            .layer(&self.response_fields)
            // Behind the password: 404 tells nobody who may not ask which paths there are.
            .layer(&self.path)
            // Last: nothing that the owner sets is stripped or judged again. A password of the service's own goes in here,
            // after the visitor's was taken out.
            .layer(&self.request_fields)
            .service(exchange)
            .oneshot(call)
            .boxed()
    }
}
