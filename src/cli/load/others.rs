//! Other people's resolvers: how `--against` names them, and how each is started in front of the small Internet.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

/// Someone else's program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Program {
    Unbound,
    Knot,
    Pdns,
    Bind,
    /// In front of a resolver.
    Dnsdist,
}

impl Program {
    const ALL: [Program; 5] = [Program::Unbound, Program::Knot, Program::Pdns, Program::Bind, Program::Dnsdist];

    /// As reports name it.
    pub fn name(self) -> &'static str {
        match self {
            Program::Unbound => "unbound",
            Program::Knot => "knot",
            Program::Pdns => "pdns",
            Program::Bind => "bind",
            Program::Dnsdist => "dnsdist",
        }
    }

    /// The program, the argument that makes it say its version, and Debian's package.
    fn file(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Program::Unbound => ("unbound", "-V", "unbound"),
            Program::Knot => ("kresd", "--version", "knot-resolver"),
            Program::Pdns => ("pdns_recursor", "--version", "pdns-recursor"),
            Program::Bind => ("named", "-v", "bind9"),
            Program::Dnsdist => ("dnsdist", "--version", "dnsdist"),
        }
    }

    /// The version it says of itself; an error where it is not installed.
    fn version(self) -> Result<String, String> {
        let (program, argument, package) = self.file();
        let output = Command::new(program)
            .arg(argument)
            .output()
            .map_err(|_| format!("{program} is not installed (Debian's package {package})"))?;
        Ok(version_in(&String::from_utf8_lossy(&[output.stdout, output.stderr].concat())))
    }
}

/// The first word that looks like a version, dates and times aside.
pub fn version_in(text: &str) -> String {
    let mut words = text.split_whitespace().map(|word| word.trim_end_matches(','));
    let version =
        words.find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.') && !word.contains(':'));
    version.unwrap_or("of unknown version").to_owned()
}

/// A program, and the file with more of its settings.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Part {
    program: Program,
    settings: Option<(PathBuf, String)>,
}

impl Part {
    fn read(text: &str) -> Result<Part, String> {
        let (name, file) = text.split_once('=').map_or((text, None), |(name, file)| (name, Some(file)));
        let program = Program::ALL.into_iter().find(|program| program.name() == name);
        let program = program.ok_or_else(|| {
            format!("there is no \"{name}\": expected unbound, knot, pdns or bind, and +dnsdist to put that in front")
        })?;
        let settings = match file.map(PathBuf::from) {
            Some(path) => {
                let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                Some((path, text))
            }
            None => None,
        };
        Ok(Part { program, settings })
    }

    /// The program's name, with that of its settings: `unbound` with `tuned.conf` is `unbound-tuned`.
    fn name(&self) -> String {
        let program = self.program.name();
        let stem = self.settings.as_ref().and_then(|(path, _)| path.file_stem()).map(|stem| stem.to_string_lossy());
        match stem {
            Some(stem) if stem.starts_with(program) => stem.into_owned(),
            Some(stem) => format!("{program}-{stem}"),
            None => program.to_owned(),
        }
    }

    fn more(&self) -> &str {
        self.settings.as_ref().map_or("", |(_, text)| text)
    }
}

/// Someone else's resolver, as `--against` names it: `unbound`, `bind=my.conf`, `pdns=my.conf+dnsdist=my.lua`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Other {
    resolver: Part,
    front: Option<Part>,
}

impl FromStr for Other {
    type Err = String;

    fn from_str(text: &str) -> Result<Other, String> {
        let (resolver, front) = text.split_once('+').map_or((text, None), |(resolver, front)| (resolver, Some(front)));
        let resolver = Part::read(resolver)?;
        let front = front.map(Part::read).transpose()?;
        if resolver.program == Program::Dnsdist {
            return Err("dnsdist does not resolve: name what is behind it first, as in pdns+dnsdist".to_owned());
        }
        match front {
            Some(front) if front.program != Program::Dnsdist => {
                Err(format!("{} cannot stand in front of another resolver; dnsdist can", front.program.name()))
            }
            front => Ok(Other { resolver, front }),
        }
    }
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.resolver.name())?;
        match &self.front {
            Some(front) => write!(f, "+{}", front.name()),
            None => Ok(()),
        }
    }
}

/// Where a resolver runs, and before what.
pub struct Place<'a> {
    /// Its own folder.
    pub folder: &'a Path,
    /// The small Internet's root.
    pub hints: &'a Path,
    pub listen: SocketAddr,
    /// The cache in octets where the scenario says so; else what the program has by default.
    pub cache: Option<u64>,
}

/// One process to start, and where it answers.
pub struct Starting {
    pub command: Command,
    pub address: SocketAddr,
}

impl Other {
    /// The programs with their versions; an error where one is not installed.
    pub fn version(&self) -> Result<String, String> {
        let resolver = format!("{} {}", self.resolver.name(), self.resolver.program.version()?);
        match &self.front {
            Some(front) => Ok(format!("{resolver} + {} {}", front.name(), front.program.version()?)),
            None => Ok(resolver),
        }
    }

    /// What a reader should know of how it was measured.
    pub fn notes(&self, cache: Option<u64>) -> Vec<String> {
        let mut notes = vec!["nobody validates: the lab's root has a key of its own".to_owned()];
        match self.resolver.program {
            Program::Unbound => notes.push("Unbound exempts 127.0.0.0/8 from its wait-limit".to_owned()),
            Program::Knot => notes.push("memory of a cache that Knot's processes share counts for each".to_owned()),
            Program::Pdns if cache.is_some() => {
                notes.push("PowerDNS bounds its cache in entries only: it has its default".to_owned());
            }
            _ => {}
        }
        notes
    }

    /// Its processes in the order they are to be started, with their files written.
    pub fn processes(&self, place: &Place<'_>) -> io::Result<Vec<Starting>> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut behind = place.listen;
        if self.front.is_some() {
            behind.set_port(place.listen.port() + 1);
        }
        let mut all = resolver(&self.resolver, place, behind, threads)?;
        if let Some(front) = &self.front {
            all.push(dnsdist(front, place, behind)?);
        }
        Ok(all)
    }
}

fn resolver(part: &Part, place: &Place<'_>, listen: SocketAddr, threads: usize) -> io::Result<Vec<Starting>> {
    let config = place.folder.join("config");
    let one = |text: String, mut command: Command| {
        fs::write(&config, text)?;
        command.arg(&config);
        Ok(vec![Starting { command, address: listen }])
    };
    match part.program {
        Program::Unbound => {
            let mut command = Command::new("unbound");
            command.args(["-d", "-c"]);
            one(unbound(place, listen.port(), threads) + part.more(), command)
        }
        Program::Bind => {
            let mut command = Command::new("named");
            command.args(["-g", "-n", &threads.to_string(), "-c"]);
            one(bind(place, listen.port(), part.more()), command)
        }
        Program::Knot => {
            fs::write(&config, knot(place, listen.port()) + part.more())?;
            // A process for each core, as its manual has it: they share the cache and the port.
            let process = |_| {
                let mut command = Command::new("kresd");
                command.arg("-n").arg("-c").arg(&config).arg(place.folder);
                Starting { command, address: listen }
            };
            Ok((0..threads).map(process).collect())
        }
        Program::Pdns => {
            fs::write(place.folder.join("recursor.conf"), pdns(place, listen.port(), threads) + part.more())?;
            let mut command = Command::new("pdns_recursor");
            command.arg(format!("--config-dir={}", place.folder.display()));
            Ok(vec![Starting { command, address: listen }])
        }
        Program::Dnsdist => Err(io::Error::other("dnsdist does not resolve")),
    }
}

fn unbound(place: &Place<'_>, port: u16, threads: usize) -> String {
    let (here, hints) = (place.folder.display(), place.hints.display());
    // Twice as much for record sets as for messages, as its manual has it.
    let cache = place.cache.map_or_else(String::new, |octets| {
        format!("  msg-cache-size: {}\n  rrset-cache-size: {}\n", octets / 3, octets - octets / 3)
    });
    format!(
        "server:\n  interface: 127.0.0.1@{port}\n  access-control: 127.0.0.0/8 allow\n  do-daemonize: no\n  \
         username: \"\"\n  chroot: \"\"\n  directory: \"{here}\"\n  pidfile: \"{here}/pid\"\n  use-syslog: no\n  \
         num-threads: {threads}\n  module-config: \"iterator\"\n  root-hints: \"{hints}\"\n{cache}  \
         do-not-query-localhost: no\n  edns-buffer-size: 1232\nremote-control:\n  control-enable: no\n"
    )
}

fn knot(place: &Place<'_>, port: u16) -> String {
    let hints = place.hints.display();
    let cache = place.cache.unwrap_or(256 << 20);
    format!(
        "net.listen('127.0.0.1', {port}, {{ kind = 'dns' }})\nlog_level('err')\ncache.size = {cache}\n\
         trust_anchors.remove('.')\nmodules.unload('ta_update')\nmodules.unload('ta_sentinel')\n\
         modules.unload('ta_signal_query')\nmodules.load('hints')\nhints.root_file('{hints}')\n"
    )
}

fn pdns(place: &Place<'_>, port: u16, threads: usize) -> String {
    let (here, hints) = (place.folder.display(), place.hints.display());
    format!(
        "daemon=no\nsocket-dir={here}\nlocal-address=127.0.0.1\nlocal-port={port}\nallow-from=127.0.0.0/8\n\
         dont-query=\nhint-file={hints}\ndnssec=off\nsecurity-poll-suffix=\nthreads={threads}\n"
    )
}

fn bind(place: &Place<'_>, port: u16, more: &str) -> String {
    let (here, hints) = (place.folder.display(), place.hints.display());
    let cache = place.cache.map_or_else(String::new, |octets| format!("  max-cache-size {octets};\n"));
    format!(
        "options {{\n  directory \"{here}\";\n  listen-on port {port} {{ 127.0.0.1; }};\n  listen-on-v6 {{ none; }};\n  \
         recursion yes;\n  allow-query {{ 127.0.0.0/8; }};\n  allow-recursion {{ 127.0.0.0/8; }};\n  \
         allow-query-cache {{ 127.0.0.0/8; }};\n  dnssec-validation no;\n  empty-zones-enable no;\n  pid-file none;\n  \
         session-keyfile none;\n{cache}{more}}};\ncontrols {{ }};\nzone \".\" {{ type hint; file \"{hints}\"; }};\n"
    )
}

fn dnsdist(part: &Part, place: &Place<'_>, behind: SocketAddr) -> io::Result<Starting> {
    let config = place.folder.join("front");
    let text = format!(
        "setLocal('{}')\nsetACL('127.0.0.0/8')\nnewServer({{address='{behind}'}})\nsetSecurityPollSuffix('')\n{}",
        place.listen,
        part.more()
    );
    fs::write(&config, text)?;
    let mut command = Command::new("dnsdist");
    command.args(["--supervised", "--disable-syslog", "-C"]).arg(&config);
    Ok(Starting { command, address: place.listen })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_are_named_with_their_settings_and_what_stands_in_front() {
        let folder = std::env::temp_dir().join(format!("maeslant-others-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (tuned, front) = (folder.join("tuned.conf"), folder.join("dnsdist-strict.lua"));
        fs::write(&tuned, "key=value\n").unwrap();
        fs::write(&front, "").unwrap();
        let name = |text: &str| text.parse::<Other>().map(|other| other.to_string());
        assert_eq!(name("unbound"), Ok("unbound".to_owned()));
        assert_eq!(name("bind+dnsdist"), Ok("bind+dnsdist".to_owned()));
        let both = format!("pdns={}+dnsdist={}", tuned.display(), front.display());
        assert_eq!(name(&both), Ok("pdns-tuned+dnsdist-strict".to_owned()));
        let place = Place {
            folder: &folder,
            hints: Path::new("/hints"),
            listen: "127.0.0.1:5397".parse().unwrap(),
            cache: None,
        };
        let processes = both.parse::<Other>().unwrap().processes(&place).unwrap();
        let ports: Vec<u16> = processes.iter().map(|process| process.address.port()).collect();
        assert_eq!(ports, [5398, 5397]);
        assert!(fs::read_to_string(folder.join("recursor.conf")).unwrap().ends_with("key=value\n"));
        for (text, wanted) in [
            ("unbond", "expected unbound, knot"),
            ("dnsdist", "does not resolve"),
            ("pdns+bind", "cannot stand in front"),
            ("bind=/no/such/file", "/no/such/file: "),
        ] {
            let error = name(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_version_is_found_behind_a_date() {
        assert_eq!(version_in("Nov 22 07:02:48 PowerDNS Recursor 4.8.8 (C) 2001-2022"), "4.8.8");
        assert_eq!(version_in("dnsdist 1.7.3 (Lua 5.1.4)"), "1.7.3");
        assert_eq!(version_in("Knot Resolver, version 5.6.0\n"), "5.6.0");
    }
}
