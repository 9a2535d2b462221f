//! As much of the Redis protocol (RESP2) as it takes to ask one question.
//!
//! By hand: a test that looks into Redis must not share the library, and its mistakes, with what it tests.

use std::{io, net::SocketAddr};

use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// What Redis answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// There is no such thing.
    Nil,
    /// A word such as OK.
    Status(String),
    /// A refusal inside a list.
    Error(String),
    /// An integer.
    Number(i64),
    /// A value.
    Bytes(Vec<u8>),
    /// Several of them.
    List(Vec<Self>),
}

impl Reply {
    /// The integer it is.
    pub fn number(self) -> i64 {
        match self {
            Self::Number(number) => number,
            other => panic!("not a number: {other:?}"),
        }
    }

    /// The text it is.
    pub fn text(self) -> String {
        match self {
            Self::Status(text) => text,
            Self::Bytes(bytes) => String::from_utf8(bytes).expect("the value is text"),
            other => panic!("not a text: {other:?}"),
        }
    }

    /// The list it is.
    pub fn list(self) -> Vec<Self> {
        match self {
            Self::List(list) => list,
            other => panic!("not a list: {other:?}"),
        }
    }
}

/// One command on a connection of its own. The inner error is what Redis said.
pub(super) async fn ask<I>(redis: SocketAddr, words: I) -> io::Result<Result<Reply, String>>
where
    I: IntoIterator,
    I::Item: AsRef<[u8]>,
{
    let (mut count, mut body) = (0, Vec::new());
    for word in words {
        let word = word.as_ref();
        count += 1;
        body.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        body.extend_from_slice(word);
        body.extend_from_slice(b"\r\n");
    }
    let mut tcp = BufReader::new(TcpStream::connect(redis).await?);
    tcp.write_all(format!("*{count}\r\n").as_bytes()).await?;
    tcp.write_all(&body).await?;
    Ok(match read(&mut tcp).await? {
        Reply::Error(error) => Err(error),
        reply => Ok(reply),
    })
}

fn read(tcp: &mut BufReader<TcpStream>) -> BoxFuture<'_, io::Result<Reply>> {
    Box::pin(async move {
        let mut line = String::new();
        tcp.read_line(&mut line).await?;
        let mut rest = line.trim_end().chars();
        let kind = rest.next();
        let rest = rest.as_str();
        let number = || rest.parse::<i64>().map_err(io::Error::other);
        Ok(match kind {
            Some('+') => Reply::Status(rest.to_owned()),
            Some('-') => Reply::Error(rest.to_owned()),
            Some(':') => Reply::Number(number()?),
            Some('$' | '*') if rest == "-1" => Reply::Nil,
            Some('$') => {
                let length = usize::try_from(number()?).map_err(io::Error::other)?;
                let mut bytes = vec![0; length + "\r\n".len()];
                tcp.read_exact(&mut bytes).await?;
                bytes.truncate(length);
                Reply::Bytes(bytes)
            }
            Some('*') => {
                let mut list = Vec::new();
                for _ in 0..number()? {
                    list.push(read(tcp).await?);
                }
                Reply::List(list)
            }
            _ => return Err(io::Error::other(format!("not RESP: {line:?}"))),
        })
    })
}
