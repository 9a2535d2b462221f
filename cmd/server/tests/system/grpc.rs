//! gRPC through the tunnel: a tonic client, a tonic server, and nothing of theirs replaced on the way.

use std::{convert::Infallible, pin::Pin, time::Duration};

use futures_util::{Stream, StreamExt, future::BoxFuture, stream};
use http::{Request as HttpRequest, Response as HttpResponse, Uri};
use testkit::{
    origin::Origin,
    process::{Agent, Key, Server},
    visitor::PATIENCE,
};
use tokio::{sync::mpsc, time::timeout};
use tonic::{
    Code, Request, Response, Status, Streaming,
    body::Body,
    client,
    metadata::MetadataValue,
    server,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, prost::Message)]
struct Text {
    #[prost(string, tag = "1")]
    text: String,
}

fn text(text: impl Into<String>) -> Text {
    Text { text: text.into() }
}

type Texts = Pin<Box<dyn Stream<Item = Result<Text, Status>> + Send>>;

/// Answers in capitals; dies of "die", and sleeps for ever at "sleep".
#[derive(Clone)]
struct Shout {
    /// Told when a call that never ends is cancelled.
    cancelled: mpsc::Sender<()>,
}

async fn shout(said: Text) -> Result<Text, Status> {
    if said.text == "die" {
        let mut status = Status::failed_precondition("died: 100 % of \u{e9}");
        status
            .metadata_mut()
            .insert("x-cause", MetadataValue::from_static("asked"));
        return Err(status);
    }
    Ok(text(said.text.to_uppercase()))
}

/// Tells somebody when it is dropped.
struct Guard(mpsc::Sender<()>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.try_send(()).ok();
    }
}

impl server::UnaryService<Text> for Shout {
    type Response = Text;
    type Future = BoxFuture<'static, Result<Response<Text>, Status>>;

    fn call(&mut self, request: Request<Text>) -> Self::Future {
        let cancelled = self.cancelled.clone();
        Box::pin(async move {
            if request.get_ref().text == "sleep" {
                let _guard = Guard(cancelled);
                std::future::pending::<()>().await;
            }
            let asked = request.metadata().get("x-asked").cloned();
            let mut response = Response::new(shout(request.into_inner()).await?);
            if let Some(asked) = asked {
                response.metadata_mut().insert("x-answered", asked);
            }
            Ok(response)
        })
    }
}

/// "hello 3" is three answers; "hello 3 die" an error after them.
impl server::ServerStreamingService<Text> for Shout {
    type Response = Text;
    type ResponseStream = Texts;
    type Future = BoxFuture<'static, Result<Response<Texts>, Status>>;

    fn call(&mut self, request: Request<Text>) -> Self::Future {
        let said = request.into_inner().text;
        let mut words = said.split(' ').map(str::to_owned);
        let (word, times) = (words.next().unwrap(), words.next().unwrap());
        let after = words.next();
        let answers: Vec<_> = (0..times.parse().unwrap())
            .map(|_| text(word.clone()))
            .chain(after.map(text))
            .collect();
        let answers: Texts = Box::pin(stream::iter(answers).then(shout));
        Box::pin(async move { Ok(Response::new(answers)) })
    }
}

impl server::ClientStreamingService<Text> for Shout {
    type Response = Text;
    type Future = BoxFuture<'static, Result<Response<Text>, Status>>;

    fn call(&mut self, request: Request<Streaming<Text>>) -> Self::Future {
        Box::pin(async move {
            let mut said = request.into_inner();
            let mut all = Vec::new();
            while let Some(next) = said.message().await? {
                all.push(next.text);
            }
            Ok(Response::new(shout(text(all.join(" "))).await?))
        })
    }
}

impl server::StreamingService<Text> for Shout {
    type Response = Text;
    type ResponseStream = Texts;
    type Future = BoxFuture<'static, Result<Response<Texts>, Status>>;

    fn call(&mut self, request: Request<Streaming<Text>>) -> Self::Future {
        let answers: Texts = Box::pin(request.into_inner().then(async |said| shout(said?).await));
        Box::pin(async move { Ok(Response::new(answers)) })
    }
}

async fn answer(shout: Shout, request: HttpRequest<hyper::body::Incoming>) -> HttpResponse<Body> {
    let mut grpc = server::Grpc::new(ProstCodec::<Text, Text>::default());
    match request.uri().path() {
        "/test.Shout/Unary" => grpc.unary(shout, request).await,
        "/test.Shout/Down" => grpc.server_streaming(shout, request).await,
        "/test.Shout/Up" => grpc.client_streaming(shout, request).await,
        "/test.Shout/Both" => grpc.streaming(shout, request).await,
        _ => Status::unimplemented("no such method").into_http(),
    }
}

/// A gRPC service, its tunnel, and a client of its public hostname.
struct Published {
    client: client::Grpc<Channel>,
    cancelled: mpsc::Receiver<()>,
    _parts: (Server, Agent, Origin),
}

impl Published {
    async fn start() -> Self {
        Self::through(Server::start(&[]).await).await
    }

    async fn through(server: Server) -> Self {
        let (cancels, cancelled) = mpsc::channel(1);
        let origin = Origin::accepting(move |tcp| {
            let shout = Shout {
                cancelled: cancels.clone(),
            };
            async move {
                let service = hyper::service::service_fn(move |request| {
                    let answering = answer(shout.clone(), request);
                    async move { Ok::<_, Infallible>(answering.await) }
                });
                let io = hyper_util::rt::TokioIo::new(tcp);
                let executor = hyper_util::rt::TokioExecutor::new();
                let serving = hyper::server::conn::http2::Builder::new(executor)
                    .serve_connection(io, service);
                drop(serving.await);
            }
        })
        .await;
        let options = ["-q", "--target-protocol", "h2c"];
        let agent = Agent::publish(&server, &origin.port(), &Key::fresh(), &options).await;
        let public: Uri = agent.url.parse().unwrap();
        let channel = Endpoint::from_shared(server.url())
            .unwrap()
            .origin(public)
            .connect()
            .await
            .unwrap();
        Self {
            client: client::Grpc::new(channel),
            cancelled,
            _parts: (server, agent, origin),
        }
    }

    async fn unary(&mut self, request: Request<Text>) -> Result<Response<Text>, Status> {
        self.client.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/test.Shout/Unary");
        self.client
            .unary(request, path, ProstCodec::<Text, Text>::default())
            .await
    }

    async fn both(
        &mut self,
        said: impl Stream<Item = Text> + Send + 'static,
    ) -> Result<Streaming<Text>, Status> {
        self.client.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/test.Shout/Both");
        let codec = ProstCodec::<Text, Text>::default();
        let answered = self.client.streaming(Request::new(said), path, codec).await;
        answered.map(Response::into_inner)
    }
}

#[tokio::test]
async fn a_call_is_answered_with_its_metadata() {
    let mut published = Published::start().await;
    let mut request = Request::new(text("hello"));
    let value = MetadataValue::from_static("1");
    request.metadata_mut().insert("x-asked", value.clone());
    let response = published.unary(request).await.unwrap();
    assert_eq!(response.metadata().get("x-answered"), Some(&value));
    assert_eq!(response.into_inner(), text("HELLO"));
}

#[tokio::test]
async fn an_error_arrives_with_its_code_its_words_and_its_metadata() {
    let mut published = Published::start().await;
    let status = published
        .unary(Request::new(text("die")))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.message(), "died: 100 % of \u{e9}");
    assert_eq!(status.metadata().get("x-cause").unwrap(), "asked");
}

#[tokio::test]
async fn answers_stream_down_and_an_error_may_come_after_them() {
    let mut published = Published::start().await;
    for (said, error) in [
        ("hey 3", None),
        ("hey 3 die", Some(Code::FailedPrecondition)),
    ] {
        published.client.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/test.Shout/Down");
        let codec = ProstCodec::<Text, Text>::default();
        let answers = published
            .client
            .server_streaming(Request::new(text(said)), path, codec)
            .await;
        let answers: Vec<_> = answers.unwrap().into_inner().collect().await;
        assert_eq!(answers.len(), 3 + usize::from(error.is_some()));
        for answer in answers.iter().take(3) {
            assert_eq!(answer.as_ref().unwrap(), &text("HEY"));
        }
        let end = answers.get(3).map(|end| end.as_ref().unwrap_err().code());
        assert_eq!(end, error);
    }
}

#[tokio::test]
async fn a_hundred_messages_up_are_one_answer() {
    let mut published = Published::start().await;
    published.client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/test.Shout/Up");
    let said = stream::iter((0..100).map(|number| text(format!("n{number}"))));
    let codec = ProstCodec::<Text, Text>::default();
    let answer = published
        .client
        .client_streaming(Request::new(said), path, codec)
        .await;
    let answer = answer.unwrap().into_inner().text;
    assert!(
        answer.starts_with("N0 N1 ") && answer.ends_with(" N99"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_conversation_goes_back_and_forth_message_by_message() {
    let mut published = Published::start().await;
    let (say, said) = mpsc::channel(1);
    let said = stream::unfold(said, async |mut said: mpsc::Receiver<Text>| {
        Some((said.recv().await?, said))
    });
    say.send(text("first")).await.unwrap();
    let mut answers = published.both(Box::pin(said)).await.unwrap();
    assert_eq!(answers.message().await.unwrap(), Some(text("FIRST")));
    for number in 0..50 {
        // Said only after the answer before: whatever held a message back would stall here.
        say.send(text(format!("n{number}"))).await.unwrap();
        let heard = timeout(PATIENCE, answers.message())
            .await
            .expect("an answer");
        assert_eq!(heard.unwrap(), Some(text(format!("N{number}"))));
    }
    drop(say);
    let end = timeout(PATIENCE, answers.message()).await.expect("the end");
    assert_eq!(end.unwrap(), None);
}

#[tokio::test]
async fn a_conversation_may_fall_silent_once_it_has_begun() {
    let server = Server::configured("[exchanges]\nbody_timeout = \"200ms\"").await;
    let mut published = Published::through(server).await;
    let (say, said) = mpsc::channel(1);
    let said = stream::unfold(said, async |mut said: mpsc::Receiver<Text>| {
        Some((said.recv().await?, said))
    });
    say.send(text("first")).await.unwrap();
    let mut answers = published.both(Box::pin(said)).await.unwrap();
    assert_eq!(answers.message().await.unwrap(), Some(text("FIRST")));
    // Nothing is waited for: several times the patience with an upload that no one answers passes.
    tokio::time::sleep(Duration::from_secs(1)).await;
    say.send(text("still there")).await.unwrap();
    assert_eq!(answers.message().await.unwrap(), Some(text("STILL THERE")));
}

#[tokio::test]
async fn a_deadline_ends_the_call_at_both_ends() {
    let mut published = Published::start().await;
    let mut request = Request::new(text("sleep"));
    request.set_timeout(Duration::from_millis(300));
    // The client lets go when its time is over; that must reach the service.
    let asked = timeout(Duration::from_millis(600), published.unary(request)).await;
    if let Ok(answered) = asked {
        let code = answered.unwrap_err().code();
        assert!(
            [Code::Cancelled, Code::DeadlineExceeded].contains(&code),
            "{code:?}"
        );
    }
    timeout(Duration::from_secs(5), published.cancelled.recv())
        .await
        .expect("the service is told to stop");
    let response = published.unary(Request::new(text("still here"))).await;
    assert_eq!(response.unwrap().into_inner(), text("STILL HERE"));
}

#[tokio::test]
async fn fifty_conversations_share_one_connection() {
    let mut published = Published::start().await;
    let mut open = Vec::new();
    for number in 0..50 {
        let (say, said) = mpsc::channel(1);
        let said = stream::unfold(said, async |mut said: mpsc::Receiver<Text>| {
            Some((said.recv().await?, said))
        });
        say.send(text(format!("a{number}"))).await.unwrap();
        open.push((say, published.both(Box::pin(said)).await.unwrap()));
    }
    for (number, (say, answers)) in open.iter_mut().enumerate() {
        assert_eq!(
            answers.message().await.unwrap(),
            Some(text(format!("A{number}")))
        );
        say.send(text(format!("b{number}"))).await.unwrap();
        assert_eq!(
            answers.message().await.unwrap(),
            Some(text(format!("B{number}")))
        );
    }
}
