//! A file system in memory that knows what was synced, and forgets the rest when the power goes.
//!
//! Data and length of a file are kept by its own fsync, names by the fsync of their folder, as POSIX promises and no
//! more. A cut keeps only that, or, as real disks do, any part of the rest too: single pages, lengths and names.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use crate::support::{LONG, wait_for};

const PAGE: usize = 4096;
/// Nothing is kept in the kernel: every look comes here.
const TTL: Duration = Duration::ZERO;

/// What a power cut leaves of what was not synced.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cut {
    /// Nothing.
    Strict,
    /// Any part of it, thrown by a dice with this seed.
    Torn(u64),
}

/// The mounted file system; unmounted when dropped.
#[derive(Debug)]
pub(super) struct Amnesia {
    at: PathBuf,
    disk: Arc<Mutex<Disk>>,
    session: Option<fuser::BackgroundSession>,
}

impl Amnesia {
    /// Mounts an empty one; says why when that is not possible here.
    pub(super) fn mount(at: PathBuf) -> Result<Self, String> {
        std::fs::create_dir_all(&at).unwrap();
        let disk = Arc::new(Mutex::new(Disk::new()));
        let session = spawn(&at, &disk).map_err(|error| format!("no FUSE here: {error}"))?;
        Ok(Self {
            at,
            disk,
            session: Some(session),
        })
    }

    /// Makes the disk claim that it has synced what it has not.
    pub(super) fn lie(&self) {
        hold(&self.disk).lies = true;
    }

    /// Cuts the power and brings it back: no process may have a file open.
    pub(super) fn power_cut(&mut self, cut: Cut) {
        let fresh = hold(&self.disk).cut(cut);
        let session = self.session.take().unwrap();
        // The kernel lets the mount go when the dead processes' files are closed.
        drop(session.notifier());
        session.umount_and_join().unwrap();
        self.disk = Arc::new(Mutex::new(fresh));
        self.session = Some(wait_for(LONG, "it can be mounted again", || {
            spawn(&self.at, &self.disk).ok()
        }));
    }
}

fn spawn(at: &Path, disk: &Arc<Mutex<Disk>>) -> std::io::Result<fuser::BackgroundSession> {
    let mut config = fuser::Config::default();
    config.mount_options = vec![fuser::MountOption::FSName("amnesia".to_owned())];
    fuser::spawn_mount(Door(Arc::clone(disk)), at, &config)
}

fn hold(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    disk.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    File(Vec<u8>),
    Folder(BTreeMap<OsString, u64>),
    Link(PathBuf),
}

/// An inode: what is there, and what of it would survive.
#[derive(Debug, Clone)]
struct Node {
    now: Content,
    kept: Content,
    mode: u16,
    owner: (u32, u32),
    changed: SystemTime,
}

#[derive(Debug)]
struct Disk {
    nodes: BTreeMap<u64, Node>,
    next: u64,
    lies: bool,
    /// After the cut nothing reaches the disk any more.
    dead: bool,
}

impl Disk {
    fn new() -> Self {
        let root = Node::new(Content::Folder(BTreeMap::new()), 0o755, (0, 0));
        Self {
            nodes: BTreeMap::from([(1, root)]),
            next: 2,
            lies: false,
            dead: false,
        }
    }

    /// What is left after a cut; this disk is dead then.
    fn cut(&mut self, cut: Cut) -> Self {
        self.dead = true;
        let mut dice = Dice(match cut {
            Cut::Strict => 0,
            Cut::Torn(seed) => seed | 1,
        });
        let left = |node: &Node, dice: &mut Dice| match cut {
            Cut::Strict => node.kept.clone(),
            Cut::Torn(_) => torn(&node.kept, &node.now, dice),
        };
        let nodes = self.nodes.iter().map(|(number, node)| {
            let content = left(node, &mut dice);
            let node = Node {
                now: content.clone(),
                kept: content,
                ..node.clone()
            };
            (*number, node)
        });
        Self {
            nodes: nodes.collect(),
            next: self.next,
            lies: false,
            dead: false,
        }
    }

    fn node(&mut self, number: INodeNo) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&number.0).ok_or(Errno::ENOENT)
    }

    fn folder(&mut self, number: INodeNo) -> Result<&mut BTreeMap<OsString, u64>, Errno> {
        match &mut self.node(number)?.now {
            Content::Folder(names) => Ok(names),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn file(&mut self, number: INodeNo) -> Result<&mut Vec<u8>, Errno> {
        let node = self.node(number)?;
        node.changed = now();
        match &mut node.now {
            Content::File(bytes) => Ok(bytes),
            _ => Err(Errno::EISDIR),
        }
    }

    fn find(&mut self, parent: INodeNo, name: &OsStr) -> Result<INodeNo, Errno> {
        let found = self.folder(parent)?.get(name).copied();
        found.map(INodeNo).ok_or(Errno::ENOENT)
    }

    fn add(&mut self, parent: INodeNo, name: &OsStr, node: Node) -> Result<INodeNo, Errno> {
        let number = self.next;
        let names = self.folder(parent)?;
        if names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        names.insert(name.to_owned(), number);
        self.next += 1;
        self.nodes.insert(number, node);
        Ok(INodeNo(number))
    }

    fn remove(&mut self, parent: INodeNo, name: &OsStr, folder: bool) -> Result<(), Errno> {
        let number = self.find(parent, name)?;
        match &self.node(number)?.now {
            Content::Folder(names) if folder && !names.is_empty() => return Err(Errno::ENOTEMPTY),
            Content::Folder(_) if !folder => return Err(Errno::EISDIR),
            _ => {}
        }
        // The inode stays: a cut may bring the name back.
        self.folder(parent)?.remove(name);
        Ok(())
    }

    fn sync(&mut self, number: INodeNo) -> Result<(), Errno> {
        let honest = !self.lies && !self.dead;
        let node = self.node(number)?;
        if honest {
            node.kept = node.now.clone();
        }
        Ok(())
    }

    fn attr(&mut self, number: INodeNo) -> Result<FileAttr, Errno> {
        let folders = self.nodes.values().filter_map(|node| match &node.now {
            Content::Folder(names) => Some(names),
            _ => None,
        });
        let names = folders.flat_map(BTreeMap::values);
        let links = names.filter(|named| **named == number.0).count();
        let node = self.node(number)?;
        let (kind, size) = match &node.now {
            Content::File(bytes) => (FileType::RegularFile, bytes.len() as u64),
            Content::Folder(_) => (FileType::Directory, 0),
            Content::Link(target) => (FileType::Symlink, target.as_os_str().len() as u64),
        };
        Ok(FileAttr {
            ino: number,
            size,
            blocks: size.div_ceil(512),
            atime: node.changed,
            mtime: node.changed,
            ctime: node.changed,
            crtime: node.changed,
            kind,
            perm: node.mode,
            nlink: if number.0 == 1 {
                1
            } else {
                u32::try_from(links).unwrap()
            },
            uid: node.owner.0,
            gid: node.owner.1,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

impl Node {
    /// A new inode; of a file or folder nothing is on the disk yet, a link is whole from the start.
    fn new(content: Content, mode: u16, owner: (u32, u32)) -> Self {
        Self {
            kept: content.clone(),
            now: content,
            mode,
            owner,
            changed: now(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a file system has a clock")]
fn now() -> SystemTime {
    SystemTime::now()
}

#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn toss(&mut self) -> bool {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 63 == 1
    }
}

/// Some of what was not synced, page by page and name by name.
fn torn(kept: &Content, now: &Content, dice: &mut Dice) -> Content {
    match (kept, now) {
        (Content::File(old), Content::File(new)) => {
            let length = if dice.toss() { new.len() } else { old.len() };
            let mut left = old.clone();
            left.resize(length, 0);
            for at in (0..length).step_by(PAGE) {
                let end = (at + PAGE).min(length).min(new.len());
                if at < end && dice.toss() {
                    left[at..end].copy_from_slice(&new[at..end]);
                }
            }
            Content::File(left)
        }
        (Content::Folder(old), Content::Folder(new)) => {
            let mut left = old.clone();
            // A rename is one step: a file whose name was synced has one of the two names.
            let target = |from: &OsString| {
                let number = old.get(from).filter(|_| !new.contains_key(from))?;
                new.iter()
                    .find(|(name, now)| *now == number && old.get(*name) != Some(number))
                    .map(|(name, _)| name)
            };
            let renamed: Vec<&OsString> = old.keys().filter_map(target).collect();
            for from in old.keys() {
                if let Some(to) = target(from).filter(|_| dice.toss())
                    && let Some(number) = left.remove(from)
                {
                    left.insert(to.clone(), number);
                }
            }
            let single = |name: &&OsString| target(name).is_none() && !renamed.contains(name);
            for name in old.keys().chain(new.keys()).filter(single) {
                if old.get(name) != new.get(name) && dice.toss() {
                    match new.get(name) {
                        Some(number) => left.insert(name.clone(), *number),
                        None => left.remove(name),
                    };
                }
            }
            Content::Folder(left)
        }
        _ => kept.clone(),
    }
}

/// What the kernel asks.
struct Door(Arc<Mutex<Disk>>);

/// Answers with the value, or with the error.
macro_rules! answer {
    ($reply:ident, $result:expr, |$value:pat_param| $done:expr) => {
        match $result {
            Ok($value) => $done,
            Err(error) => $reply.error(error),
        }
    };
}

impl Door {
    fn entry(&self, made: impl FnOnce(&mut Disk) -> Result<INodeNo, Errno>, reply: ReplyEntry) {
        let mut disk = hold(&self.0);
        let attr = made(&mut disk).and_then(|number| disk.attr(number));
        answer!(reply, attr, |attr| reply.entry(&TTL, &attr, Generation(0)));
    }
}

fn bits(mode: u32, umask: u32) -> u16 {
    u16::try_from(mode & !umask & 0o7777).unwrap()
}

impl Filesystem for Door {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.entry(|disk| disk.find(parent, name), reply);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let attr = hold(&self.0).attr(ino);
        answer!(reply, attr, |attr| reply.attr(&TTL, &attr));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut disk = hold(&self.0);
        let done = (|| {
            if let Some(mode) = mode {
                disk.node(ino)?.mode = bits(mode, 0);
            }
            if let Some(size) = size {
                disk.file(ino)?.resize(usize::try_from(size).unwrap(), 0);
            }
            disk.attr(ino)
        })();
        answer!(reply, done, |attr| reply.attr(&TTL, &attr));
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        let mut disk = hold(&self.0);
        match disk.node(ino).map(|node| &node.now) {
            Ok(Content::Link(target)) => reply.data(target.as_os_str().as_bytes()),
            Ok(_) => reply.error(Errno::EINVAL),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let owner = (req.uid(), req.gid());
        let node = Node::new(Content::Folder(BTreeMap::new()), bits(mode, umask), owner);
        self.entry(|disk| disk.add(parent, name, node), reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = hold(&self.0).remove(parent, name, false);
        answer!(reply, done, |()| reply.ok());
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = hold(&self.0).remove(parent, name, true);
        answer!(reply, done, |()| reply.ok());
    }

    fn symlink(&self, req: &Request, parent: INodeNo, name: &OsStr, to: &Path, reply: ReplyEntry) {
        let node = Node::new(Content::Link(to.to_owned()), 0o777, (req.uid(), req.gid()));
        self.entry(|disk| disk.add(parent, name, node), reply);
    }

    fn link(&self, _: &Request, ino: INodeNo, to: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let linked = |disk: &mut Disk| {
            if disk.find(to, name).is_ok() {
                return Err(Errno::EEXIST);
            }
            disk.folder(to)?.insert(name.to_owned(), ino.0);
            Ok(ino)
        };
        self.entry(linked, reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut disk = hold(&self.0);
        let done = (|| {
            let number = disk.find(parent, name)?;
            if flags.contains(RenameFlags::RENAME_NOREPLACE)
                && disk.find(newparent, newname).is_ok()
            {
                return Err(Errno::EEXIST);
            }
            disk.folder(parent)?.remove(name);
            disk.folder(newparent)?.insert(newname.to_owned(), number.0);
            Ok(())
        })();
        answer!(reply, done, |()| reply.ok());
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let mut disk = hold(&self.0);
        let node = Node::new(
            Content::File(Vec::new()),
            bits(mode, umask),
            (req.uid(), req.gid()),
        );
        let made = disk.add(parent, name, node);
        let made = made.and_then(|number| disk.attr(number));
        answer!(reply, made, |attr| reply.created(
            &TTL,
            &attr,
            Generation(0),
            FileHandle(0),
            FopenFlags::empty()
        ));
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut disk = hold(&self.0);
        match disk.node(ino).map(|node| &node.now) {
            Ok(Content::File(bytes)) => {
                let from = usize::try_from(offset).unwrap().min(bytes.len());
                let to = (from + size as usize).min(bytes.len());
                reply.data(&bytes[from..to]);
            }
            Ok(_) => reply.error(Errno::EISDIR),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut disk = hold(&self.0);
        answer!(reply, disk.file(ino), |bytes| {
            let from = usize::try_from(offset).unwrap();
            let end = from + data.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[from..end].copy_from_slice(data);
            reply.written(u32::try_from(data.len()).unwrap());
        });
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let done = hold(&self.0).sync(ino);
        answer!(reply, done, |()| reply.ok());
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let done = hold(&self.0).sync(ino);
        answer!(reply, done, |()| reply.ok());
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let mut disk = hold(&self.0);
        let names = match disk.folder(ino) {
            Ok(names) => names.clone(),
            Err(error) => return reply.error(error),
        };
        let from = usize::try_from(offset).unwrap();
        for (place, (name, number)) in names.iter().enumerate().skip(from) {
            let kind = match disk.node(INodeNo(*number)).map(|node| &node.now) {
                Ok(Content::Folder(_)) => FileType::Directory,
                Ok(Content::Link(_)) => FileType::Symlink,
                _ => FileType::RegularFile,
            };
            if reply.add(INodeNo(*number), place as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let blocks = 1 << 22;
        reply.statfs(blocks, blocks, blocks, 1 << 20, 1 << 20, 4096, 255, 4096);
    }
}
