//! A small HTTP client on a plain socket: one request per connection, nothing hidden.

use std::fmt::Write as _;
use std::io::{self, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// Asks one server.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    address: String,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the body came to the end that its headers announced.
    pub(crate) whole: bool,
}

impl Reply {
    /// The value of a header; the name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{} {}", self.status, self.text()))
    }

    /// The body as JSON, after a check that the answer is a 2xx.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{} {}",
            self.status,
            self.text()
        );
        self.json()
    }
}

impl Client {
    /// A client for `http://host:port` or `host:port`.
    pub(crate) fn new(address: &str) -> Self {
        let address = address.trim_start_matches("http://");
        Self {
            address: address.to_owned(),
        }
    }

    /// The server as a URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Reply {
        self.request("GET", path, &[], None)
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: Option<&Value>) -> Reply {
        self.request("POST", path, &[], body)
    }

    #[track_caller]
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Reply {
        self.try_request(method, path, headers, body)
            .unwrap_or_else(|error| panic!("{method} {}{path}: {error}", self.address))
    }

    /// The same for a server that may be gone.
    pub(crate) fn try_request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> io::Result<Reply> {
        let (status, headers, mut rest) = self.open(method, path, headers, body)?;
        let mut body = Vec::new();
        let mut whole = true;
        if method != "HEAD" {
            whole = match rest.read_to_end(&mut body) {
                Ok(_) => true,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => false,
                Err(error) => return Err(error),
            };
        }
        Ok(Reply {
            status,
            headers,
            body,
            whole,
        })
    }

    /// Opens a stream of server-sent events.
    #[track_caller]
    pub(crate) fn stream(&self, path: &str, headers: &[(&str, &str)]) -> Stream {
        let (status, _, body) = self.open("GET", path, headers, None).unwrap();
        assert_eq!(status, 200, "{path}");
        Stream(BufReader::new(body))
    }

    fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> io::Result<Opened> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_mins(1)))?;
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            write!(head, "Host: {}\r\n", self.address).unwrap();
        }
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        let body = body.map(Value::to_string);
        if let Some(body) = &body {
            let length = body.len();
            write!(
                head,
                "Content-Type: application/json\r\nContent-Length: {length}\r\n"
            )
            .unwrap();
        } else if method != "GET" && method != "HEAD" {
            head.push_str("Content-Length: 0\r\n");
        }
        head.push_str("\r\n");
        head.push_str(body.as_deref().unwrap_or(""));
        stream.write_all(head.as_bytes())?;
        let mut reader = BufReader::new(stream);
        let line = line(&mut reader)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("bad status line `{line}`")))?;
        let mut headers = Vec::new();
        loop {
            let line = self::line(&mut reader)?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let left = match header(&headers, "content-length") {
            _ if header(&headers, "transfer-encoding") == Some("chunked") => Left::Chunk(0),
            Some(length) => Left::Length(length.parse().map_err(io::Error::other)?),
            None => Left::ToTheEnd,
        };
        Ok((status, headers, Body { reader, left }))
    }
}

/// Status, headers, and the body still to come.
type Opened = (u16, Vec<(String, String)>, Body);

/// Server-sent events as they come.
#[derive(Debug)]
pub(crate) struct Stream(BufReader<Body>);

impl Stream {
    /// The next event as its fields (`id`, `event`, `data`); none at the end. Comments are skipped.
    pub(crate) fn next_event(&mut self) -> Option<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = line(&mut self.0).ok()?;
            match line.split_once(':') {
                Some(("", _)) => {}
                Some((name, value)) => fields.push((
                    name.to_owned(),
                    value.strip_prefix(' ').unwrap_or(value).to_owned(),
                )),
                None if !fields.is_empty() => return Some(fields),
                None => {}
            }
        }
    }
}

#[derive(Debug)]
struct Body {
    reader: BufReader<TcpStream>,
    left: Left,
}

#[derive(Debug)]
enum Left {
    Length(u64),
    /// What is left of the chunk; at 0 the next one begins.
    Chunk(u64),
    ToTheEnd,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Left::Chunk(0) = self.left {
            let size = line(&mut self.reader)?;
            let size = u64::from_str_radix(&size, 16).map_err(io::Error::other)?;
            if size == 0 {
                self.left = Left::Length(0);
            } else {
                // The line break after the chunk belongs to it.
                self.left = Left::Chunk(size + 2);
            }
        }
        let (left, tail) = match &mut self.left {
            Left::Length(0) => return Ok(0),
            Left::Length(left) => (left, 0),
            Left::Chunk(left) => (left, 2),
            Left::ToTheEnd => return self.reader.read(buffer),
        };
        let most = usize::try_from(*left - tail)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let count = self.reader.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        *left -= count as u64;
        if tail == *left {
            let mut end = [0; 2];
            self.reader
                .read_exact(&mut end[..usize::try_from(tail).unwrap()])?;
            *left = 0;
        }
        Ok(count)
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut found = headers.iter().filter(|(key, _)| key == name);
    found.next().map(|(_, value)| value.as_str())
}

fn line(reader: &mut impl io::BufRead) -> io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
