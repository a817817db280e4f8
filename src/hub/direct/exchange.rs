//! One request and the head of its answer on one connection.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::header::CONNECTION;
use hyper::http::response;
use hyper::{Request, Version};

use super::body::DirectBody;
use super::connect::Stream;

/// The longest head of an answer, in bytes.
const HEAD: usize = 64 << 10;

pub(super) type Conversation = http1::Connection<Stream, Empty<Bytes>>;

/// An answer whose head has come.
pub(super) struct Answered {
    pub(super) head: response::Parts,
    pub(super) body: DirectBody,
    /// Whether the connection is good for another request once the body was read.
    pub(super) reusable: bool,
}

/// Sends the request and waits for the head.
pub(super) async fn exchange(
    stream: Stream,
    request: Request<Empty<Bytes>>,
) -> hyper::Result<Answered> {
    let (mut sender, mut conversation) = http1::Builder::new()
        .max_buf_size(HEAD)
        .handshake(stream)
        .await?;
    let mut over = false;
    let answer = {
        let mut answer = pin!(sender.send_request(request));
        poll_fn(|context| {
            loop {
                if let Poll::Ready(answer) = answer.as_mut().poll(context) {
                    return Poll::Ready(answer);
                }
                if over {
                    return Poll::Pending;
                }
                // When it ends, whoever waits for the answer has it by then, or is told why there is none.
                match Pin::new(&mut conversation).poll(context) {
                    Poll::Ready(_) => over = true,
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await?
    };
    let (head, mut body) = answer.into_parts();
    let Some(length) = body.size_hint().exact().filter(|_| !over) else {
        let conversation = (!over).then_some(conversation);
        return Ok(Answered {
            head,
            body: DirectBody::framed(body, conversation),
            reusable: false,
        });
    };
    // What came in one piece with the head: a frame that hyper has handed on, then what it has not looked at.
    let mut early = VecDeque::from_iter(handed_on(&mut body)?);
    let parts = conversation.into_parts();
    early.push_back(parts.read_buf);
    let reusable = stays_open(&head);
    Ok(Answered {
        head,
        body: DirectBody::counted(parts.io, early, length),
        reusable,
    })
}

/// The frames that lie ready; nothing more can come while nobody drives the connection.
fn handed_on(body: &mut Incoming) -> hyper::Result<Vec<Bytes>> {
    let mut frames = Vec::new();
    while let Some(Some(frame)) = body.frame().now_or_never() {
        frames.extend(frame?.into_data());
    }
    Ok(frames)
}

fn stays_open(head: &response::Parts) -> bool {
    let closes = head.headers.get_all(CONNECTION).iter().any(|value| {
        let value = value.to_str().unwrap_or("close");
        let mut words = value.split(',').map(str::trim);
        words.any(|word| word.eq_ignore_ascii_case("close"))
    });
    head.version == Version::HTTP_11 && !closes
}
