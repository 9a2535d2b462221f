//! Questions over loopback, to whatever may stand under a public URL.

use std::net::SocketAddr;

use identity::sign_self_check;
use messages::{LinkLimits, NodeId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::super::question;
use super::*;

const HOST: &str = "blog.localhost";

/// Something that answers each request, given its path, with these bytes.
struct Front {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Front {
    async fn answering(answer: impl Fn(&str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (mut tcp, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(tcp.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let port = address.port();
                assert!(head.contains(&format!("host: {HOST}:{port}\r\n")), "{head}");
                let path = head.split(' ').nth(1).unwrap();
                tcp.write_all(answer(path).as_bytes()).await.unwrap();
            }
        });
        Self {
            address,
            _tasks: tasks,
        }
    }

    fn url(&self) -> String {
        format!("http://{HOST}:{}", self.address.port())
    }
}

fn page(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn refusal(status: &str, code: &str) -> String {
    format!("HTTP/1.1 {status}\r\nadit-error: {code}\r\ncontent-length: 0\r\n\r\n")
}

fn granted(url: &str) -> Granted {
    Granted {
        key_id: String::new(),
        tunnel: String::new(),
        hostname: HOST.to_owned(),
        url: url.to_owned(),
        node: NodeId([7; 16]),
        generation: 42,
        links: 1,
        limits: LinkLimits::default(),
    }
}

fn config(key: &Arc<SecretKey>, policy: &str) -> Config {
    let mut config = Config::new("http://localhost".parse().unwrap(), key.clone());
    config.policy = Some(Policy::from_json(policy.as_bytes()).unwrap());
    config
}

async fn ask(key: &Arc<SecretKey>, policy: &str, url: &str) -> Verdict {
    asking(&config(key, policy))(granted(url)).await
}

fn signed(key: &SecretKey, path: &str) -> String {
    let nonce = question(path).expect("the agent asks");
    page("200 OK", &sign_self_check(key, &nonce, HOST))
}

#[tokio::test]
async fn an_answer_by_the_own_key_is_what_a_visitor_would_have_got() {
    let key = Arc::new(SecretKey::generate());
    let agent = key.clone();
    let front = Front::answering(move |path| signed(&agent, path)).await;
    assert_eq!(ask(&key, "{}", &front.url()).await, Verdict::Reached);
}

#[tokio::test]
async fn the_question_is_asked_inside_what_the_policy_publishes() {
    let key = Arc::new(SecretKey::generate());
    let agent = key.clone();
    let front = Front::answering(move |path| {
        assert!(path.starts_with("/api/.well-known/adit-probe/"), "{path}");
        signed(&agent, path)
    })
    .await;
    let policy = r#"{"strip_prefix":"/api","add_prefix":"/v1"}"#;
    assert_eq!(ask(&key, policy, &front.url()).await, Verdict::Reached);
}

#[tokio::test]
async fn whoever_else_answers_is_named_by_what_is_known_of_it() {
    let key = Arc::new(SecretKey::generate());
    for (answer, why) in [
        (
            page("200 OK", "<h1>Welcome to nginx</h1>"),
            "what answers at blog.localhost, with status 200, is neither this agent nor its server",
        ),
        (
            page("404 Not Found", "no"),
            "what answers at blog.localhost, with status 404, is neither",
        ),
        (
            refusal("502 Bad Gateway", "tunnel-offline"),
            "the server answers 502 (tunnel-offline)",
        ),
        (
            refusal("401 Unauthorized", "password-required"),
            "the server answers 401 (password-required)",
        ),
        ("SSH-2.0-x\r\n".to_owned(), "does not speak HTTP"),
        (page("200 OK", &"x".repeat(100_000)), "is neither"),
    ] {
        let front = Front::answering(move |_| answer.clone()).await;
        match ask(&key, "{}", &front.url()).await {
            Verdict::Missed(said) => assert!(said.contains(why), "{said:?} is not {why:?}"),
            other => panic!("{other:?}, not {why:?}"),
        }
    }
    let stranger = SecretKey::generate();
    let front = Front::answering(move |path| signed(&stranger, path)).await;
    let verdict = ask(&key, "{}", &front.url()).await;
    let why = format!("an agent with another key answers at {HOST}");
    assert_eq!(verdict, Verdict::Missed(why));
}

#[tokio::test]
async fn the_edges_refusal_by_a_rule_of_our_own_shows_that_visitors_come_as_far_as_that() {
    let key = Arc::new(SecretKey::generate());
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let password = format!(r#"{{"basic_auth":{{"credentials":[{{"hash":"{hash}"}}]}}}}"#);
    for (policy, status, code, verdict) in [
        (
            password.as_str(),
            "401 Unauthorized",
            "password-required",
            Verdict::Guarded("a password"),
        ),
        (
            r#"{"deny_ips":["127.0.0.1"]}"#,
            "403 Forbidden",
            "forbidden",
            Verdict::Guarded("another address than this machine's"),
        ),
        (
            r#"{"webhook":{"provider":"github","secrets":["s"]}}"#,
            "401 Unauthorized",
            "webhook-unverified",
            Verdict::Guarded("a webhook's signature"),
        ),
        (
            "{}",
            "429 Too Many Requests",
            "rate-limited",
            Verdict::Unclear("the server answers rate-limited".to_owned()),
        ),
    ] {
        let front = Front::answering(move |_| refusal(status, code)).await;
        assert_eq!(ask(&key, policy, &front.url()).await, verdict);
    }
}

#[tokio::test]
async fn a_place_where_nobody_listens_is_missed_by_hop() {
    let key = Arc::new(SecretKey::generate());
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = gone.local_addr().unwrap().port();
    drop(gone);
    let refused = ask(&key, "{}", &format!("http://{HOST}:{port}")).await;
    let Verdict::Missed(why) = refused else {
        panic!("{refused:?}")
    };
    let words = format!("cannot connect to {HOST}, port {port}: ");
    assert!(why.starts_with(&words), "{why}");
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let secure = format!("https://{HOST}:{}", deaf.local_addr().unwrap().port());
    let (verdict, accepted) = tokio::join!(ask(&key, "{}", &secure), async {
        deaf.accept().await.map(drop)
    });
    accepted.unwrap();
    let Verdict::Missed(why) = verdict else {
        panic!("there is no TLS there")
    };
    assert!(why.starts_with(&format!("no TLS with {HOST}")), "{why}");
}

#[test]
fn a_wildcard_is_asked_by_a_name_under_it_and_a_tunnel_that_wants_tls_with_tls() {
    let key = Arc::new(SecretKey::generate());
    let place = |policy: &str, url: &str| {
        let config = config(&key, policy);
        let asker = Asker {
            key: key.clone(),
            policy: config.policy.unwrap_or_default(),
            tls: None,
            user_agent: HeaderValue::from_static("test"),
        };
        let place = asker.place(url).unwrap();
        format!("{}://{}", place.scheme, place.authority)
    };
    assert_eq!(
        place("{}", "https://*.blog.example:8443/"),
        "https://adit-probe.blog.example:8443"
    );
    let upgraded = place(r#"{"https_only":true}"#, "http://blog.example:8080");
    assert_eq!(upgraded, "https://blog.example");
}
