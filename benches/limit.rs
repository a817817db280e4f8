//! The least work that a verified and synced download can be: receive, write, hash, sync, and nothing else.
//!
//! The yardstick of `benches/peers.py`. It reads lines `SIZE PATH URL` from standard input, writes below the folder
//! that it is given, and prints the seconds of each step as JSON. It follows one redirect per file, asks for ranges over
//! blocking sockets that stay open, and knows the shape of the task beforehand, so it needs no plan, no ramp and no queue.
//!
//! `one-pass`: one connection, hashed and written back while it receives. `after`: many connections, hashed and synced
//! when everything is here.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::ScopedJoinHandle;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use sha2::{Digest as _, Sha256};

/// Small enough to be still in the processor's cache when it is hashed.
const BUFFER: usize = 256 << 10;
/// Files up to this size are one request, and are hashed and synced by all threads.
const SMALL: u64 = 1 << 20;
/// Bytes after which `one-pass` starts to write back.
const WRITE_BACK: u64 = 64 << 20;

struct Wanted {
    size: u64,
    path: PathBuf,
    url: String,
}

struct Piece {
    file: usize,
    start: u64,
    end: u64,
}

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [mode, folder, connections] = words.as_slice() else {
        bail!("usage: limit one-pass|after FOLDER CONNECTIONS < LIST");
    };
    let connections: usize = connections.parse()?;
    let wanted = io::stdin()
        .lock()
        .lines()
        .map(|line| parse(&line?, Path::new(folder)));
    let wanted: Vec<Wanted> = wanted.collect::<anyhow::Result<_>>()?;
    let start = Instant::now();
    let files = wanted
        .iter()
        .map(|want| create(&want.path))
        .collect::<anyhow::Result<Vec<File>>>()?;
    match mode.as_str() {
        "one-pass" => {
            for (want, file) in wanted.iter().zip(&files) {
                one_pass(want, file)?;
            }
            report(&[("total", start.elapsed().as_secs_f64())])
        }
        "after" => {
            receive(&wanted, &files, connections)?;
            let received = start.elapsed().as_secs_f64();
            finish(&wanted, &files, connections)?;
            let total = start.elapsed().as_secs_f64();
            report(&[
                ("receive", received),
                ("hash_and_sync", total - received),
                ("total", total),
            ])
        }
        other => bail!("`{other}` is no mode"),
    }
}

fn report(steps: &[(&str, f64)]) -> anyhow::Result<()> {
    let steps: Vec<String> = steps
        .iter()
        .map(|(name, seconds)| format!("\"{name}\": {seconds:.4}"))
        .collect();
    Ok(writeln!(io::stdout(), "{{{}}}", steps.join(", "))?)
}

fn parse(line: &str, folder: &Path) -> anyhow::Result<Wanted> {
    let mut words = line.split(' ');
    let mut next = || {
        words
            .next()
            .with_context(|| format!("`{line}` is not SIZE PATH URL"))
    };
    Ok(Wanted {
        size: next()?.parse()?,
        path: folder.join(next()?),
        url: next()?.to_owned(),
    })
}

fn create(path: &Path) -> anyhow::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    Ok(File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)?)
}

/// One connection; one thread hashes what another has just written, a third one writes back early.
fn one_pass(want: &Wanted, file: &File) -> anyhow::Result<()> {
    let mut connections = Connections::default();
    let location = connections.location(&want.url)?;
    let (full, to_hash) = mpsc::sync_channel::<Vec<u8>>(4);
    let (empty, reuse) = mpsc::channel::<Vec<u8>>();
    let (written, to_sync) = mpsc::sync_channel::<()>(64);
    std::thread::scope(|scope| {
        let hashing = scope.spawn(move || {
            let mut hash = Sha256::new();
            for buffer in to_hash {
                hash.update(&buffer);
                // The receiver is gone at the end.
                drop(empty.send(buffer));
            }
            hash.finalize()
        });
        let syncing = scope.spawn(move || to_sync.iter().try_for_each(|()| file.sync_data()));
        let mut body = connections.open(&location, 0..want.size)?;
        let (mut at, mut noted) = (0, 0);
        while at < want.size {
            let mut buffer = reuse.try_recv().unwrap_or_default();
            buffer.resize(BUFFER, 0);
            let count = body.fill(&mut buffer)?;
            buffer.truncate(count);
            file.write_all_at(&buffer, at)?;
            at += count as u64;
            full.send(buffer).ok().context("the hashing thread ended")?;
            if at - noted >= WRITE_BACK {
                noted = at;
                // A full queue means that a sync is due anyway.
                let _full = written.try_send(());
            }
        }
        drop((full, written));
        std::hint::black_box(joined(hashing)?);
        joined(syncing)??;
        Ok(file.sync_data()?)
    })
}

/// Receives and writes everything, one large range for each connection.
fn receive(wanted: &[Wanted], files: &[File], connections: usize) -> anyhow::Result<()> {
    let big: u64 = wanted
        .iter()
        .map(|want| want.size)
        .filter(|size| *size > SMALL)
        .sum();
    let share = (big / connections as u64 + 1).next_multiple_of(1 << 20);
    let mut pieces = Vec::new();
    for (file, want) in wanted.iter().enumerate() {
        let step = if want.size <= SMALL {
            want.size.max(1)
        } else {
            share
        };
        let mut start = 0;
        while start < want.size {
            let end = (start + step).min(want.size);
            pieces.push(Piece { file, start, end });
            start = end;
        }
    }
    // Large ones last here, so first off the end.
    pieces.sort_by_key(|piece| piece.end - piece.start);
    let pieces = Mutex::new(pieces);
    let known: Vec<Mutex<Option<Arc<str>>>> = wanted.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        let worker = || -> anyhow::Result<()> {
            let mut connections = Connections::default();
            let mut buffer = vec![0; BUFFER];
            loop {
                let next = pieces.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some(Piece { file, start, end }) = next else {
                    return Ok(());
                };
                let location = {
                    let mut known = known[file].lock().unwrap_or_else(PoisonError::into_inner);
                    match &*known {
                        Some(location) => Arc::clone(location),
                        None => Arc::clone(
                            known.insert(connections.location(&wanted[file].url)?.into()),
                        ),
                    }
                };
                let mut body = connections.open(&location, start..end)?;
                let mut at = start;
                while at < end {
                    let count = body.fill(&mut buffer)?;
                    ensure!(count > 0, "the connection ended early");
                    files[file].write_all_at(&buffer[..count], at)?;
                    at += count as u64;
                }
            }
        };
        let workers: Vec<_> = (0..connections).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| joined(worker)?)
    })
}

/// Hashes and syncs: big files one after the other, small ones with all threads.
fn finish(wanted: &[Wanted], files: &[File], threads: usize) -> anyhow::Result<()> {
    let one = |file: &File| -> anyhow::Result<()> {
        let (mut hash, mut buffer, mut at) = (Sha256::new(), vec![0; BUFFER], 0);
        loop {
            let count = file.read_at(&mut buffer, at)?;
            if count == 0 {
                break;
            }
            hash.update(&buffer[..count]);
            at += count as u64;
        }
        std::hint::black_box(hash.finalize());
        Ok(file.sync_data()?)
    };
    let (small, big): (Vec<_>, Vec<_>) = wanted
        .iter()
        .zip(files)
        .partition(|(want, _)| want.size <= SMALL);
    big.into_iter().try_for_each(|(_, file)| one(file))?;
    let small = Mutex::new(small);
    std::thread::scope(|scope| {
        let worker = || -> anyhow::Result<()> {
            loop {
                let next = small.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some((_, file)) = next else { return Ok(()) };
                one(file)?;
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| joined(worker)?)
    })
}

/// The open connections of one thread, by host and port.
#[derive(Default)]
struct Connections(HashMap<String, TcpStream>);

impl Connections {
    /// Where the bytes lie: the address itself, or the one that it redirects to.
    fn location(&mut self, url: &str) -> anyhow::Result<String> {
        // A plain address answers with bytes at once; asking it would cost a request.
        if url.contains("/plain/") {
            return Ok(url.to_owned());
        }
        let (status, headers) = self.ask(url, None)?;
        ensure!(
            (300..400).contains(&status),
            "{status} instead of a redirect"
        );
        let location = headers
            .get("location")
            .context("a redirect without an address")?;
        let length = headers
            .get("content-length")
            .map_or(Ok(0), |text| text.parse())?;
        let (host, _) = split(url)?;
        let stream = self.0.get_mut(host).context("the connection is open")?;
        io::copy(&mut stream.take(length), &mut io::sink())?;
        Ok(if location.starts_with('/') {
            format!("http://{host}{location}")
        } else {
            location.clone()
        })
    }

    fn open(&mut self, url: &str, range: std::ops::Range<u64>) -> anyhow::Result<Body<'_>> {
        let left = range.end - range.start;
        let (status, headers) = self.ask(
            url,
            Some(&format!("bytes={}-{}", range.start, range.end - 1)),
        )?;
        let length: u64 = headers
            .get("content-length")
            .context("no length")?
            .parse()?;
        ensure!(
            status == 206 && length == left,
            "{status} with {length} bytes instead of 206 with {left}"
        );
        let (host, _) = split(url)?;
        Ok(Body {
            stream: self.0.get_mut(host).context("the connection is open")?,
            left,
        })
    }

    fn ask(
        &mut self,
        url: &str,
        range: Option<&str>,
    ) -> anyhow::Result<(u16, HashMap<String, String>)> {
        let (host, path) = split(url)?;
        if !self.0.contains_key(host) {
            let stream = TcpStream::connect(host)?;
            stream.set_nodelay(true)?;
            self.0.insert(host.to_owned(), stream);
        }
        let stream = self.0.get_mut(host).context("just opened")?;
        let range = range.map_or(String::new(), |range| format!("Range: {range}\r\n"));
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{range}\r\n").as_bytes())?;
        // Byte by byte, so that nothing of the body is taken; a head is short.
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head)?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        let headers = head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "));
        Ok((
            status,
            headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
        ))
    }
}

fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> anyhow::Result<T> {
    match thread.join() {
        Ok(value) => Ok(value),
        Err(_panic) => bail!("a thread broke"),
    }
}

fn split(url: &str) -> anyhow::Result<(&str, &str)> {
    let rest = url
        .strip_prefix("http://")
        .context("only http is spoken here")?;
    let slash = rest.find('/').context("an address has a path")?;
    Ok(rest.split_at(slash))
}

struct Body<'a> {
    stream: &'a mut TcpStream,
    left: u64,
}

impl Body<'_> {
    /// Fills the buffer as far as the body goes.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let mut have = 0;
        while have < most {
            match self.stream.read(&mut buffer[have..most])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => have += count,
            }
        }
        self.left -= have as u64;
        Ok(have)
    }
}
