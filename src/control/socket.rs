//! The Unix socket: bound where only this user can open it, answered by a thread of its own.

use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Told;
use crate::net::clock;

/// Octets of a question.
const LINE: u64 = 4096;
/// Whoever does not ask or read within this time is left alone.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an operator's program waits for the answer.
const WAIT: Duration = Duration::from_secs(10);
/// Octets of an answer.
const ANSWER: u64 = 16 << 20;

/// A bound control socket. Its file is removed when this is dropped.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    closed: Arc<AtomicBool>,
}

impl Socket {
    /// Binds `path`, in place of a socket there that nobody answers, and answers on a thread of its own until it is dropped.
    ///
    /// # Errors
    /// Another server answers there, there is something that is no socket, or the system does not let us.
    pub fn open(path: &Path, told: Arc<Told>) -> io::Result<Socket> {
        if let Ok(about) = fs::symlink_metadata(path) {
            if !about.file_type().is_socket() {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
            }
            if UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server answers there"));
            }
        }
        // Nobody else may open it, not even between its making and the change of its rights.
        let making = path.with_extension(format!("{}.new", std::process::id()));
        let _ = fs::remove_file(&making);
        let listener = UnixListener::bind(&making)?;
        let ready =
            fs::set_permissions(&making, Permissions::from_mode(0o600)).and_then(|()| fs::rename(&making, path));
        if let Err(error) = ready {
            let _ = fs::remove_file(&making);
            return Err(error);
        }
        let closed = Arc::new(AtomicBool::new(false));
        let socket = Socket { path: path.to_owned(), closed: Arc::clone(&closed) };
        std::thread::Builder::new().name("control".to_owned()).spawn(move || serve(&listener, &told, &closed))?;
        Ok(socket)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        // Whoever waits for a question sees by this one that it is over.
        let _ = UnixStream::connect(&self.path);
        let _ = fs::remove_file(&self.path);
    }
}

fn serve(listener: &UnixListener, told: &Told, closed: &AtomicBool) {
    for stream in listener.incoming() {
        if closed.load(Ordering::Relaxed) {
            return;
        }
        // One at a time: operators are few, and each is bounded in time.
        match stream {
            Ok(stream) => drop(attend(&stream, told)),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn attend(mut stream: &UnixStream, told: &Told) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(LINE)).read_line(&mut line)?;
    let answer = told.answer(line.trim(), clock::read(false).mono);
    stream.write_all(answer.to_string().as_bytes())?;
    stream.write_all(b"\n")
}

/// Asks the server behind a socket one question, and returns its answer.
///
/// # Errors
/// Nobody answers there.
pub fn ask(path: &Path, question: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(WAIT))?;
    stream.write_all(format!("{question}\n").as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::Policy;
    use crate::clock::Moment;
    use crate::engine::Shared;

    fn told() -> Arc<Told> {
        Arc::new(Told::new(Shared::new(&crate::cache::Policy::default(), [3; 32]), Policy::default(), 1, Moment::ZERO))
    }

    #[test]
    fn it_answers_its_own_user_and_leaves_nothing_behind() {
        let dir = std::env::temp_dir().join(format!("maeslant-control-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a folder");
        let path = dir.join("control");
        let socket = Socket::open(&path, told()).expect("bound");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(ask(&path, "status").expect("an answer").contains("\"level\":\"open\""));
        assert!(ask(&path, "nonsense").expect("an answer").contains("not a question"));
        assert_eq!(Socket::open(&path, told()).expect_err("in use").kind(), io::ErrorKind::AddrInUse);
        drop(socket);
        assert!(!path.exists());
        // What another server left behind when it was killed is taken over; a file is not.
        drop(UnixListener::bind(&path).expect("bound"));
        drop(Socket::open(&path, told()).expect("taken over"));
        fs::write(&path, "a file").expect("written");
        assert_eq!(Socket::open(&path, told()).expect_err("a file").kind(), io::ErrorKind::AlreadyExists);
        fs::remove_dir_all(&dir).expect("removed");
    }
}
