//! Hosts outside the server's domain, which the DNS gives to a key: nobody at the server writes a line for them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use hickory_resolver::proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{RData, Record, RecordType, rdata::TXT},
};
use http::Response;
use testkit::{
    origin::{Origin, full},
    process::{Agent, Key, Server},
    visitor::Visitor,
};
use tokio::{net::UdpSocket, task::JoinSet};

/// A name server with one TXT record, which whoever owns the domain may change.
struct NameServer {
    addr: SocketAddr,
    record: Arc<Mutex<Option<String>>>,
    _task: JoinSet<()>,
}

/// Where the record is.
const PROOF: &str = "_adit.app.example.org.";

impl NameServer {
    async fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = socket.local_addr().unwrap();
        let record = Arc::default();
        let mut task = JoinSet::new();
        task.spawn(serve(socket, Arc::clone(&record)));
        Self {
            addr,
            record,
            _task: task,
        }
    }

    fn says(&self, text: &str) {
        *self.record.lock().unwrap() = Some(text.to_owned());
    }

    /// A server that believes it.
    async fn server(&self) -> Server {
        let settings = format!(
            "[admission]\ncustom_domains = true\nname_servers = [\"{}\"]",
            self.addr
        );
        Server::configured(&settings).await
    }
}

async fn serve(socket: UdpSocket, record: Arc<Mutex<Option<String>>>) {
    let mut buffer = [0; 1024];
    loop {
        let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
        let question = Message::from_vec(&buffer[..len]).unwrap();
        let text = record.lock().unwrap().clone();
        let answer = answer(question, text).to_vec().unwrap();
        socket.send_to(&answer, from).await.unwrap();
    }
}

fn answer(mut message: Message, text: Option<String>) -> Message {
    let query = message.queries[0].clone();
    message.metadata.message_type = MessageType::Response;
    match text {
        Some(text) if query.name().to_lowercase().to_utf8() == PROOF => {
            if query.query_type() == RecordType::TXT {
                let data = RData::TXT(TXT::new(vec![text]));
                message.add_answer(Record::from_rdata(query.name().clone(), 60, data));
            }
        }
        _ => message.metadata.response_code = ResponseCode::NXDomain,
    }
    message
}

#[tokio::test]
async fn whoever_holds_a_domain_gives_it_to_a_key_by_a_record() {
    let dns = NameServer::start().await;
    let server = dns.server().await;
    let (ann, eve) = (Key::made().await, Key::made().await);
    let wish = ["--domain", "app.example.org", "-q"];

    let (code, said) = Agent::turned_away(&server, "1", &ann, &wish).await;
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("_adit.app.example.org"), "{said}");

    dns.says(&format!("adit={}", ann.label().await));
    let (code, said) = Agent::turned_away(&server, "1", &eve, &wish).await;
    assert_eq!(code, Some(3), "{said}");

    let origin = Origin::serving(|_| async { Response::new(full("the app")) }).await;
    let _agent = Agent::publish(&server, &origin.port(), &ann, &wish).await;
    let visitor = Visitor::new(server.addr, "app.example.org");
    assert_eq!(visitor.get("/").await.text(), "the app");
}
