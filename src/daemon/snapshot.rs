//! What a killed process leaves to the next: a file with the caches, the books and what is known of servers, written
//! anew every few minutes.
//!
//! The file is a sequence of records, each behind its part and its length, and ends with the SHA-256 of all before. It is
//! read twice: first to see that it is whole, then to take it in. A file that is not whole is not used at all. It is never
//! changed in place: a new one is written beside it, synced, and takes its name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN, digest};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::{Error, begin_beside};
use crate::admission::Books;
use crate::cache::Cache;
use crate::clock::{Moment, Now, UnixTime};
use crate::config::SnapshotPolicy;
use crate::control::{Kept, Told};
use crate::engine::{Rules, Shared};
use crate::net::{clock, priority};
use crate::pack::{Fields, Pack, Passage};
use crate::resolve::Dnssec;

/// What the first record begins with; another number is another form.
const FORM: &[u8] = b"maeslant snapshot 3";
/// Records of the books, of servers, of the caches, and the last one.
const HEAD: u8 = 0;
const BOOKS: u8 = 1;
const SERVERS: u8 = BOOKS + Books::PARTS;
const CACHE: u8 = SERVERS + 1;
const CACHE_END: u8 = CACHE + Cache::PARTS - 1;
const END: u8 = u8::MAX;
/// Octets before a record's own: its part and its length.
const FRAME: usize = 5;
/// No record is longer.
const LONGEST: u32 = 1 << 20;
/// The first is written so soon: a server that is killed right after its start has little to keep, but not nothing.
const FIRST: Duration = Duration::from_secs(30);
/// What is owed by less than this is even by the time a new process looks at it.
const OWED: Duration = Duration::from_secs(2);
/// The clock of the wall may have been set back by so much: then nothing can be said of ages.
const SET_BACK: u64 = 2;

/// A whole file that was found.
pub struct Found {
    path: PathBuf,
    records: Records<BufReader<File>>,
    /// The seed of all hashes in it.
    pub seed: [u8; 32],
    /// What was validated counts as that: the anchors are those of then.
    trusted: bool,
    passage: Passage,
}

/// Looks for a snapshot. One that is damaged, or not ours, is said to be so, and is none.
pub fn find(path: &Path, dnssec: &Dnssec, now: Now) -> Option<Found> {
    match open(path, dnssec, now) {
        Ok(found) => Some(found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            info!("there is no snapshot yet in {}: the caches begin empty", path.display());
            None
        }
        Err(error) => {
            warn!("the snapshot {} is not used: {error}; the caches begin empty", path.display());
            None
        }
    }
}

fn open(path: &Path, dnssec: &Dnssec, now: Now) -> io::Result<Found> {
    let wrong = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    // A pipe would have us wait for somebody who writes to it.
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let about = file.metadata()?;
    if !about.is_file() || about.mode() & 0o022 != 0 {
        return Err(wrong("it is no regular file that only its owner can write".to_owned()));
    }
    verify(&mut BufReader::with_capacity(1 << 20, &file), about.len())?;
    file.seek(SeekFrom::Start(0))?;
    let mut records = Records(BufReader::with_capacity(1 << 20, file));
    let head = records.next()?.filter(|(part, _)| *part == HEAD);
    let head = head.ok_or_else(|| wrong("it begins in an unknown way".to_owned()))?.1;
    let Some((seed, written, print)) = read_head(&head) else {
        return Err(wrong("it was written by another version".to_owned()));
    };
    if now.unix.0 + SET_BACK < written.unix.0 {
        let ahead = written.unix.0 - now.unix.0;
        return Err(wrong(format!("it was written {ahead} s from now: the clock was wrong then, or is now")));
    }
    // Rounded up, so that nothing lives longer for having been kept.
    let elapsed = Duration::from_secs(now.unix.0.saturating_sub(written.unix.0) + 1);
    let trusted = print == fingerprint(dnssec);
    Ok(Found { path: path.to_path_buf(), records, seed, trusted, passage: Passage::new(written, now, elapsed) })
}

/// Is it whole?
fn verify(from: &mut impl Read, length: u64) -> io::Result<()> {
    let damaged = |text| io::Error::new(io::ErrorKind::InvalidData, text);
    let tail = (FRAME + SHA256_OUTPUT_LEN) as u64;
    let body = length.checked_sub(tail).ok_or_else(|| damaged("it is too short"))?;
    let mut context = Context::new(&SHA256);
    let mut chunk = vec![0; 1 << 16];
    let mut rest = from.take(body);
    loop {
        let read = rest.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        context.update(chunk.get(..read).unwrap_or(&[]));
    }
    match Records(rest.into_inner()).next()? {
        Some((END, sum)) if sum == context.finish().as_ref() => Ok(()),
        _ => Err(damaged("it is damaged: its checksum is another one")),
    }
}

fn read_head(head: &[u8]) -> Option<([u8; 32], Now, Vec<u8>)> {
    let mut fields = Fields::of(head);
    (fields.bytes()? == FORM).then_some(())?;
    let seed = fields.bytes()?.try_into().ok()?;
    let (mono, age, unix) = (fields.moment()?, fields.moment()?, UnixTime(fields.u64()?));
    Some((seed, Now { mono, age, unix }, fields.bytes()?.to_vec()))
}

/// Tells one set of rules for validation from another, and one version from another.
fn fingerprint(dnssec: &Dnssec) -> Vec<u8> {
    let text = format!("{} {dnssec:?}", env!("CARGO_PKG_VERSION"));
    digest(&SHA256, text.as_bytes()).as_ref().to_vec()
}

/// Records read one after the other.
struct Records<R>(R);

impl<R: Read> Records<R> {
    fn next(&mut self) -> io::Result<Option<(u8, Vec<u8>)>> {
        let mut frame = [0; FRAME];
        match self.0.read_exact(&mut frame) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let [part, length @ ..] = frame;
        let length = u32::from_be_bytes(length);
        if length > LONGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a record is too long"));
        }
        let mut record = vec![0; length as usize];
        self.0.read_exact(&mut record)?;
        Ok(Some((part, record)))
    }
}

impl Found {
    /// Takes in the books and what is known of servers, at once, and the caches beside the shards, the fastest way to
    /// serve again.
    pub fn take(self, shared: &Shared) -> Result<JoinHandle<()>, Error> {
        let ago = self.passage.elapsed.as_secs();
        info!("the snapshot {} is taken in, written {ago} s ago", self.path.display());
        if !self.trusted {
            info!("it was written under other trust anchors or by another version: what is signed is validated anew");
        }
        let now = clock::read(false);
        let mut unfit = 0u64;
        let mut reading = self;
        let first = reading.until_the_caches(shared, now.mono, &mut unfit);
        let shared = shared.clone();
        begin_beside("snapshot-in", move || reading.caches(first, &shared, unfit))
    }

    fn until_the_caches(&mut self, shared: &Shared, now: Moment, unfit: &mut u64) -> Option<(u8, Vec<u8>)> {
        while let Ok(Some((part, record))) = self.records.next() {
            let fields = Fields::of(&record);
            let taken = match part {
                BOOKS..SERVERS => shared.books.load(part - BOOKS, fields, now, &self.passage),
                SERVERS => shared.servers.load(fields, &self.passage),
                _ => return Some((part, record)),
            };
            *unfit += u64::from(taken.is_none());
        }
        None
    }

    fn caches(mut self, first: Option<(u8, Vec<u8>)>, shared: &Shared, mut unfit: u64) {
        let begin = Instant::now();
        let (mut next, mut taken) = (first, 0u64);
        while let Some((part @ CACHE..=CACHE_END, record)) = next {
            match shared.cache.load(part - CACHE, Fields::of(&record), &self.passage, self.trusted) {
                Some(()) => taken += 1,
                None => unfit += 1,
            }
            next = self.records.next().unwrap_or(None);
        }
        info!("{taken} cached sets are back after {} ms", begin.elapsed().as_millis());
        if unfit > 0 {
            info!("{unfit} records of the snapshot did not fit: sizes in the configuration have changed");
        }
    }
}

/// Writes snapshots for as long as it is there.
pub struct Keeper {
    /// Without a sender the last one is written.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Source {
    policy: SnapshotPolicy,
    path: PathBuf,
    seed: [u8; 32],
    age_is_wall: bool,
    shared: Shared,
    rules: watch::Receiver<Rules>,
    told: Weak<Told>,
}

/// What a snapshot came to.
#[derive(Default, Clone, Copy)]
struct Written {
    records: u64,
    octets: u64,
    /// There was no room for everything.
    cut: bool,
}

impl Keeper {
    /// Begins to keep snapshots in `path`.
    pub fn begin(
        path: PathBuf,
        policy: SnapshotPolicy,
        seed: [u8; 32],
        age_is_wall: bool,
        shared: Shared,
        rules: watch::Receiver<Rules>,
        told: &Arc<Told>,
    ) -> Result<Keeper, Error> {
        let source = Source { policy, path, seed, age_is_wall, shared, rules, told: Arc::downgrade(told) };
        let (stop, stopped) = mpsc::channel();
        let body = move || {
            priority::give_way();
            let mut wait = FIRST.min(source.policy.every);
            // A first one at the end of the first wait, a last one when told to stop.
            while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                source.keep();
                wait = source.policy.every;
            }
            source.keep();
        };
        Ok(Keeper { stop: Some(stop), thread: Some(begin_beside("snapshots", body)?) })
    }

    /// Writes the last one from now on.
    pub fn finish(&mut self) {
        self.stop = None;
    }

    /// Waits until the last one is written.
    pub fn join(mut self) {
        self.finish();
        // A panic inside leaves the snapshot before it.
        let _ = self.thread.take().map(JoinHandle::join);
    }

    /// Nothing is written any more.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Source {
    fn keep(&self) {
        let begin = Instant::now();
        let written = self.write();
        match &written {
            Ok(Written { records, octets, cut }) => {
                let taken = begin.elapsed().as_millis();
                debug!("snapshot of {records} records, {octets} octets, written in {taken} ms");
                if *cut {
                    warn!("the snapshot is full: not everything that is cached fits ([snapshot] size)");
                }
            }
            Err(error) => warn!("the snapshot {} cannot be written: {error}", self.path.display()),
        }
        if let Some(told) = self.told.upgrade() {
            let kept = written.ok().map(|Written { records, octets, .. }| Kept { records, octets });
            told.kept(kept, clock::read(false).mono);
        }
    }

    fn write(&self) -> io::Result<Written> {
        let mut name = self.path.file_name().unwrap_or_default().to_os_string();
        name.push(".new");
        let beside = self.path.with_file_name(name);
        // Whoever reads it could choose names that fall together in our tables.
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        let mut sink = Sink {
            file: BufWriter::with_capacity(1 << 20, file),
            sum: Context::new(&SHA256),
            written: Written::default(),
            most: self.policy.size,
            failed: None,
        };
        self.fill(&mut sink);
        let (file, written) = sink.close()?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        // The name is part of the directory, which is synced by itself.
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(written)
    }

    fn fill(&self, sink: &mut Sink) {
        let now = clock::read(self.age_is_wall);
        let (print, stale) = {
            let rules = self.rules.borrow();
            (fingerprint(&rules.policy.resolve.dnssec), rules.policy.resolve.stale.max_age)
        };
        let mut head = Pack::new();
        head.bytes(FORM).bytes(&self.seed).moment(now.mono).moment(now.age).u64(now.unix.0).bytes(&print);
        sink.put(HEAD, &head);
        self.shared.books.save(now.mono, OWED, &mut |part, pack| {
            sink.put(BOOKS + part, pack);
        });
        self.shared.servers.save(&mut |pack| {
            sink.put(SERVERS, pack);
        });
        let room = sink.most.saturating_sub(sink.written.octets);
        self.shared.cache.save(now.age, stale, room, &mut |part, pack| sink.put(CACHE + part, pack));
    }
}

/// Where records go.
struct Sink {
    file: BufWriter<File>,
    sum: Context,
    written: Written,
    most: u64,
    failed: Option<io::Error>,
}

impl Sink {
    /// False: no more.
    fn put(&mut self, part: u8, pack: &Pack) -> bool {
        let octets = pack.octets();
        let length = octets.len() as u32;
        if self.failed.is_some() || length > LONGEST {
            return self.failed.is_none();
        }
        if self.written.octets + (FRAME + octets.len()) as u64 > self.most {
            self.written.cut = true;
            return false;
        }
        let [a, b, c, d] = length.to_be_bytes();
        for octets in [&[part, a, b, c, d][..], octets] {
            self.sum.update(octets);
            self.written.octets += octets.len() as u64;
            if let Err(error) = self.file.write_all(octets) {
                self.failed = Some(error);
                return false;
            }
        }
        self.written.records += 1;
        true
    }

    fn close(mut self) -> io::Result<(File, Written)> {
        self.failed.map_or(Ok(()), Err)?;
        let sum = self.sum.finish();
        let [a, b, c, d] = (SHA256_OUTPUT_LEN as u32).to_be_bytes();
        self.file.write_all(&[END, a, b, c, d])?;
        self.file.write_all(sum.as_ref())?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok((file, self.written))
    }
}

/// Where snapshots are kept if the configuration does not say: the state directory that the service manager made for us
/// (systemd.exec(5), `StateDirectory=`).
pub fn default_path() -> Option<PathBuf> {
    let directories = std::env::var_os("STATE_DIRECTORY")?;
    let first = std::env::split_paths(&directories).find(|path| path.is_absolute())?;
    Some(first.join("snapshot"))
}
