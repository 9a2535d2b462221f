//! Answers of a small DNS on this machine.

use std::net::Ipv4Addr;

use hickory_resolver::proto::op::{Message, MessageType};
use hickory_resolver::proto::rr::rdata::{CNAME, TXT};
use hickory_resolver::proto::rr::{Name, Record};
use tokio::net::UdpSocket;

use super::*;

/// Asks for the texts of a name while a server answers whatever is asked.
async fn ask(name: &str) -> Result<Vec<String>, TxtError> {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let dns = Dns::of(vec![server.local_addr().unwrap()]);
    tokio::select! {
        texts = dns.texts(name) => texts,
        () = serve(server) => unreachable!("it serves on"),
    }
}

async fn serve(server: UdpSocket) {
    let mut buffer = [0; 1024];
    loop {
        let (len, from) = server.recv_from(&mut buffer).await.unwrap();
        let question = Message::from_vec(&buffer[..len]).unwrap();
        let answer = answer(&question).to_vec().unwrap();
        server.send_to(&answer, from).await.unwrap();
    }
}

fn answer(question: &Message) -> Message {
    let query = question.queries[0].clone();
    let (name, kind) = (query.name().to_lowercase(), query.query_type());
    let mut answer = question.clone();
    answer.metadata.message_type = MessageType::Response;
    let record = |data| Record::from_rdata(query.name().clone(), 60, data);
    let txt = |parts: &[&str]| {
        let parts = parts.iter().map(|part| (*part).to_owned()).collect();
        record(RData::TXT(TXT::new(parts)))
    };
    let to = |name: &str| RData::CNAME(CNAME(Name::from_ascii(name).unwrap()));
    match (&*name.to_utf8(), kind) {
        ("_adit.app.example.", RecordType::TXT) => {
            answer.add_answer(txt(&["v=spf1"]));
            answer.add_answer(txt(&["adit=", "k7q"]));
        }
        ("_adit.delegated.example.", _) => {
            answer.add_answer(record(to("txt.example.")));
        }
        ("txt.example.", RecordType::TXT) => {
            answer.add_answer(txt(&["adit=k7q"]));
        }
        ("_adit.wildcard.example.", _) => {
            answer.add_answer(record(to("adit.example.")));
        }
        ("_adit.bare.example." | "adit.example.", _) => {}
        ("_adit.broken.example.", _) => answer.metadata.response_code = ResponseCode::ServFail,
        _ => answer.metadata.response_code = ResponseCode::NXDomain,
    }
    answer
}

#[tokio::test]
async fn texts_are_found_with_their_parts_joined() {
    assert_eq!(
        ask("_adit.app.example").await,
        Ok(vec!["v=spf1".to_owned(), "adit=k7q".to_owned()])
    );
}

#[tokio::test]
async fn an_alias_is_followed_and_named_when_it_leads_nowhere() {
    assert_eq!(
        ask("_adit.delegated.example").await,
        Ok(vec!["adit=k7q".to_owned()])
    );
    assert_eq!(
        ask("_adit.wildcard.example").await,
        Err(TxtError::Alias("adit.example".to_owned()))
    );
}

#[tokio::test]
async fn what_is_missing_is_told_apart_from_what_cannot_be_asked() {
    assert_eq!(ask("_adit.gone.example").await, Err(TxtError::NoSuchName));
    assert_eq!(ask("_adit.bare.example").await, Err(TxtError::NoTexts));
    let broken = ask("_adit.broken.example").await;
    assert!(
        matches!(broken, Err(TxtError::Unavailable(_))),
        "{broken:?}"
    );
}
