//! An answer onto the wire, with cuts, stalls and false lengths where they were asked for.
//!
//! Bodies go out as slices of the file, without a copy; what was written is counted after each write.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::answer::Answer;
use super::mischief::{Mischief, Pause};
use super::misdeed::RawPart;
use super::pace::Pace;
use super::request::Place;
use super::state::State;

/// Whose answer is sent.
pub(super) struct Ticket<'a> {
    pub(super) state: &'a State,
    pub(super) place: Place,
    /// The record; 0 for none.
    pub(super) number: u64,
    /// Whether only the head is wanted.
    pub(super) head: bool,
    /// Whether the client wants the connection closed.
    pub(super) close: bool,
}

/// What became of an answer.
pub(super) struct Sent {
    pub(super) finished: bool,
    pub(super) close: bool,
}

const BROKEN: Sent = Sent {
    finished: false,
    close: true,
};

/// Sends one answer.
pub(super) async fn send(
    stream: &mut TcpStream,
    ticket: &Ticket<'_>,
    answer: Answer,
    mischief: &Mischief,
) -> io::Result<Sent> {
    let mut latency = mischief.latency_ms;
    if ticket.place != Place::Control {
        latency += ticket.state.settings().latency_ms;
    }
    sleep(Duration::from_millis(latency)).await;
    if let Some(time) = mischief.stall_first
        && !wait(stream, time).await
    {
        return Ok(BROKEN);
    }
    let length = answer.body.len();
    let unframed = mischief.no_length && !ticket.head;
    let chunked = mischief.chunked && !ticket.head && !unframed;
    let close = ticket.close || unframed || mischief.extra > 0;
    let head = head(&answer, length, unframed, chunked, close);
    ticket.state.ledger.status(ticket.number, answer.status);
    stream.write_all(head.as_bytes()).await?;
    if ticket.head {
        return Ok(Sent {
            finished: true,
            close,
        });
    }
    let own_pace = Pace::default();
    let cut = mischief.cut.map_or(u64::MAX, |(after, _)| after);
    let mut stall = mischief.stall;
    let mut sent = 0;
    loop {
        if let Some((after, time)) = stall
            && sent >= after.min(length)
        {
            if !wait(stream, time).await {
                return Ok(BROKEN);
            }
            stall = None;
        }
        if sent >= cut {
            return Ok(BROKEN);
        }
        if sent >= length {
            break;
        }
        let settings = ticket.state.settings();
        let (mine, all) = if ticket.place == Place::Control {
            (0, 0)
        } else {
            (settings.rate_per_connection, settings.rate_total)
        };
        let mine = if mischief.rate > 0 {
            mischief.rate
        } else {
            mine
        };
        let mut limit = (length - sent)
            .min(cut - sent)
            .min(stall.map_or(u64::MAX, |(after, _)| after - sent))
            .min(Pace::step(mine))
            .min(Pace::step(all));
        if let Some((bytes, _)) = mischief.drip {
            limit = limit.min(bytes);
        }
        let chunk = answer.body.chunk(sent, limit)?;
        let chunk = corrupted(chunk, answer.body.start() + sent, &mischief.corrupt);
        let size = chunk.len() as u64;
        own_pace.pass(size, mine).await;
        ticket.state.pace.pass(size, all).await;
        if let Some((_, every)) = mischief.drip {
            sleep(Duration::from_millis(every)).await;
        }
        if chunked {
            stream.write_all(format!("{size:x}\r\n").as_bytes()).await?;
        }
        write(stream, ticket, &chunk).await?;
        if chunked {
            stream.write_all(b"\r\n").await?;
        }
        sent += size;
    }
    if chunked {
        stream.write_all(b"0\r\n\r\n").await?;
    }
    if mischief.extra > 0 {
        let extra = vec![b'!'; usize::try_from(mischief.extra).unwrap_or(0)];
        write(stream, ticket, &extra).await?;
    }
    Ok(Sent {
        finished: true,
        close,
    })
}

/// Writes texts as they are in the place of an answer, then closes or stays silent until the client goes.
pub(super) async fn raw(
    stream: &mut TcpStream,
    state: &State,
    (number, place): (u64, Place),
    parts: &[RawPart],
    hold: bool,
) -> io::Result<()> {
    let ticket = Ticket {
        state,
        place,
        number,
        head: false,
        close: true,
    };
    for part in parts {
        // Many short texts are written together, unless each has its own time.
        let together = if part.every_ms > 0 {
            1
        } else {
            (1 << 16) / part.text.len().max(1) as u64 + 1
        };
        let mut left = part.times;
        while left > 0 {
            let now = left.min(together);
            left -= now;
            sleep(Duration::from_millis(part.every_ms)).await;
            let text = part.text.repeat(usize::try_from(now).unwrap_or(1));
            write(stream, &ticket, text.as_bytes()).await?;
        }
    }
    if hold {
        wait(stream, Pause::Forever).await;
    }
    stream.shutdown().await
}

/// Ends a connection: by reset if a fault says so, else so that everything that was written arrives.
pub(super) async fn close(mut stream: TcpStream, mischief: &Mischief) -> io::Result<()> {
    if mischief.cut.is_some_and(|(_, reset)| reset) {
        return stream.set_zero_linger();
    }
    stream.shutdown().await
}

async fn write(stream: &mut TcpStream, ticket: &Ticket<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = stream.write(bytes).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        if ticket.number > 0 {
            ticket
                .state
                .ledger
                .sent(ticket.number, ticket.place, written as u64);
        }
        bytes = &bytes[written..];
    }
    Ok(())
}

/// Holds still for a time, or for ever; false when the client has gone.
async fn wait(stream: &mut TcpStream, time: Pause) -> bool {
    let mut byte = [0];
    let gone = stream.read(&mut byte);
    let Pause::Ms(time) = time else {
        // Whatever ends this wait, the answer is never finished.
        drop(gone.await);
        return false;
    };
    tokio::select! {
        _ = gone => false,
        () = sleep(Duration::from_millis(time)) => true,
    }
}

fn corrupted(chunk: Bytes, start: u64, places: &[u64]) -> Bytes {
    let end = start + chunk.len() as u64;
    let mut hit = places
        .iter()
        .filter(|place| (start..end).contains(place))
        .peekable();
    if hit.peek().is_none() {
        return chunk;
    }
    let mut bytes = chunk.to_vec();
    for place in hit {
        let index = usize::try_from(place - start).expect("the place lies in the chunk");
        bytes[index] ^= 0xff;
    }
    bytes.into()
}

fn head(answer: &Answer, length: u64, unframed: bool, chunked: bool, close: bool) -> String {
    let mut head = format!("HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status));
    for (name, value) in &answer.headers {
        // Writing to a string does not fail.
        let _infallible = write!(head, "{name}: {value}\r\n");
    }
    if chunked {
        head.push_str("Transfer-Encoding: chunked\r\n");
    } else if !unframed && !answer.has("Content-Length") {
        let _infallible = write!(head, "Content-Length: {length}\r\n");
    }
    if close {
        head.push_str("Connection: close\r\n");
    }
    head.push_str("\r\n");
    head
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        206 => "Partial Content",
        302 => "Found",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Practice",
    }
}
