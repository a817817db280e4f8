//! A plain file server, as there are many: with or without ranges, versions, lengths and manners.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use modelhaul::testing::Content;

/// One file of the server, and how it is served.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    content: Content,
    ranges: bool,
    headers: Vec<(&'static str, String)>,
    status: Option<u16>,
    length: Length,
    needs: Option<(&'static str, String)>,
    cut_after: Option<u64>,
    rate: u64,
}

/// What the server says of the length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// The truth.
    True,
    /// Nothing: the end of the connection is the end of the file.
    Untold,
    /// This instead.
    Lie(u64),
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    /// Bytes of the body that were sent.
    pub(crate) sent: u64,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// A server on a port of its own; it ends with the test's process.
#[derive(Debug, Clone)]
pub(crate) struct FileServer {
    address: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Served>,
    asked: Vec<Asked>,
}

impl Served {
    /// A file with ranges and a strong etag.
    pub(crate) fn new(content: Content) -> Self {
        let etag = format!("\"{}\"", &content.sha256()[..16]);
        Self::bare(content).header("etag", &etag)
    }

    /// A file with ranges of which nothing tells the version.
    pub(crate) fn bare(content: Content) -> Self {
        Self {
            content,
            ranges: true,
            headers: Vec::new(),
            status: None,
            length: Length::True,
            needs: None,
            cut_after: None,
            rate: 0,
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn without_ranges(mut self) -> Self {
        self.ranges = false;
        self
    }

    pub(crate) fn length(mut self, length: Length) -> Self {
        self.length = length;
        self
    }

    /// Nothing but this status.
    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// 401 to whom does not show this header.
    pub(crate) fn needs(mut self, name: &'static str, value: &str) -> Self {
        self.needs = Some((name, value.to_owned()));
        self
    }

    /// Ends the connection after so many bytes of each answer with more than one.
    pub(crate) fn cut_after(mut self, bytes: u64) -> Self {
        self.cut_after = Some(bytes);
        self
    }

    /// Bytes per second of each connection.
    pub(crate) fn rate(mut self, rate: u64) -> Self {
        self.rate = rate;
        self
    }
}

impl FileServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap().to_string(),
            state: Arc::default(),
        };
        let shared = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let server = shared.clone();
                std::thread::spawn(move || server.converse(stream));
            }
        });
        server
    }

    /// The address of a file.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its origin.
    pub(crate) fn origin(&self) -> String {
        self.at("")
    }

    /// Serves this from now on.
    pub(crate) fn serve(&self, path: &str, file: Served) {
        self.lock().files.insert(path.to_owned(), file);
    }

    /// The requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.lock().asked.clone()
    }

    /// Bytes of bodies so far.
    pub(crate) fn sent(&self) -> u64 {
        self.lock().asked.iter().map(|asked| asked.sent).sum()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn converse(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        loop {
            let mut lines = Vec::new();
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                lines.push(line.trim_end().to_owned());
                line.clear();
            }
            let Some(target) = lines.first().and_then(|line| line.split(' ').nth(1)) else {
                return;
            };
            let path = target.split('?').next().unwrap_or(target).to_owned();
            let headers = lines
                .iter()
                .skip(1)
                .filter_map(|line| line.split_once(": "));
            let headers =
                headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
            let asked = Asked {
                path,
                headers: headers.collect(),
                sent: 0,
            };
            let (number, file) = {
                let mut state = self.lock();
                state.asked.push(asked.clone());
                (state.asked.len() - 1, state.files.get(&asked.path).cloned())
            };
            let answered = answer(reader.get_mut(), &asked, file, |bytes| {
                self.lock().asked[number].sent += bytes;
            });
            if !answered.unwrap_or(false) {
                return;
            }
        }
    }
}

/// Says one answer; whether the connection is still good.
fn answer(
    stream: &mut TcpStream,
    asked: &Asked,
    file: Option<Served>,
    sent: impl Fn(u64),
) -> std::io::Result<bool> {
    let short = |status: u16, more: &str| {
        format!("HTTP/1.1 {status} Status\r\n{more}content-length: 6\r\n\r\nSECRET")
    };
    let Some(file) = file else {
        stream.write_all(short(404, "").as_bytes())?;
        return Ok(true);
    };
    let refused = file
        .needs
        .as_ref()
        .is_some_and(|(name, value)| asked.header(name) != Some(value));
    let status = if refused { Some(401) } else { file.status };
    let fields = file.headers.iter();
    let fields = fields.map(|(name, value)| format!("{name}: {value}\r\n"));
    let mut head = fields.collect::<Vec<_>>().concat();
    if let Some(status) = status {
        stream.write_all(short(status, &head).as_bytes())?;
        return Ok(true);
    }
    let size = file.content.size();
    let told = match file.length {
        Length::Lie(told) => told,
        _ => size,
    };
    let etag = file.headers.iter().find(|(name, _)| *name == "etag");
    // A server that knows the file by its etag gives parts of this version only.
    let same = asked
        .header("if-range")
        .is_none_or(|wanted| etag.is_none_or(|(_, etag)| etag == wanted));
    let range = asked.header("range").filter(|_| file.ranges && same);
    let range = range.and_then(|text| {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        let first: u64 = first.parse().ok()?;
        // Without an end it goes on to the last byte.
        let last: u64 = if last.is_empty() {
            told.checked_sub(1)?
        } else {
            last.parse().ok()?
        };
        (first < told).then_some(first..(last + 1).min(told))
    });
    let (status, body) = match range {
        Some(range) => {
            let (first, last) = (range.start, range.end - 1);
            write!(head, "content-range: bytes {first}-{last}/{told}\r\n").unwrap();
            (206, range)
        }
        None => (200, 0..told),
    };
    let keep = file.length != Length::Untold;
    if keep {
        write!(head, "content-length: {}\r\n", body.end - body.start).unwrap();
    } else {
        head.push_str("connection: close\r\n");
    }
    stream.write_all(format!("HTTP/1.1 {status} Status\r\n{head}\r\n").as_bytes())?;
    let began = Instant::now();
    let (mut at, mut gone) = (body.start, 0);
    while at < body.end.min(size) {
        let step = if file.rate > 0 { 64 << 10 } else { 1 << 20 };
        let end = body.end.min(size).min(at + step);
        if file.cut_after.is_some_and(|cut| gone >= cut) && body.end - body.start > 1 {
            return Ok(false);
        }
        let bytes = file.content.read(at..end)?;
        stream.write_all(&bytes)?;
        sent(end - at);
        gone += end - at;
        at = end;
        if let Some(micros) = (gone * 1_000_000).checked_div(file.rate) {
            let due = Duration::from_micros(micros);
            pace(due.saturating_sub(began.elapsed()));
        }
    }
    Ok(keep && at == body.end)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a slow server is slow by waiting"
)]
fn pace(pause: Duration) {
    std::thread::sleep(pause);
}
