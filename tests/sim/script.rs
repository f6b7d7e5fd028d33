//! Scripted behaviour of a server: given a question, an exact answer or an exact fault.

use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use maeslant::engine::{AskTransport, LinkError};

use super::text;
use super::zone::Sections;

/// The names a rule is for.
#[derive(Clone, Debug)]
enum Names {
    Any,
    Exactly(Name),
    Below(Name),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Section {
    Answer,
    Authority,
    Additional,
}

/// What an off-path forger gets wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forgery {
    WrongId,
    WrongCase,
    WrongQuestion,
    Junk,
}

/// One line of a rule.
#[derive(Clone, Debug)]
pub enum Action {
    Drop,
    Delay(Duration),
    /// Start from what the zones say.
    FromZone,
    Rcode(ResponseCode),
    Flag(String, bool),
    /// A record, so many times, `{n}` counting and `{qname}` the name asked.
    Add(Section, String, u32),
    Clear(Section),
    /// One section as the zones have it for another question.
    Of(Section, Name, RecordType),
    /// The answer to another question, as authority.
    Prove(Name, RecordType),
    /// Leaves out the records of a type, with their signatures.
    Strip(RecordType),
    Question(Name, Option<RecordType>),
    NoQuestion,
    NoEdns,
    WrongId,
    Junk(usize),
    Cut(usize),
    Append(Vec<u8>),
    Twice,
    Link(LinkError),
    Forge(Forgery, u32),
}

/// `when NAME TYPE [udp|tcp] [edns|noedns] [first N] [after N]` and its actions.
#[derive(Clone, Debug)]
pub struct Rule {
    names: Names,
    rtype: Option<RecordType>,
    transport: Option<AskTransport>,
    edns: Option<bool>,
    /// Only this many times.
    first: Option<u32>,
    pub hits: u32,
    pub actions: Vec<Action>,
}

impl Rule {
    /// From the words after `when`.
    pub fn parse(words: &[&str]) -> Result<Rule, String> {
        let [names, rtype, options @ ..] = words else { return Err("write `when NAME TYPE`".to_string()) };
        let names = match *names {
            "*" => Names::Any,
            below if below.starts_with("*.") => {
                Names::Below(text::name(if below == "*." { "." } else { &below[2..] })?)
            }
            name => Names::Exactly(text::name(name)?),
        };
        let rtype = if *rtype == "*" { None } else { Some(text::record_type(rtype)?) };
        let mut rule = Rule { names, rtype, transport: None, edns: None, first: None, hits: 0, actions: Vec::new() };
        let mut options = options.iter();
        while let Some(option) = options.next() {
            match *option {
                "udp" => rule.transport = Some(AskTransport::Udp),
                "tcp" => rule.transport = Some(AskTransport::Tcp),
                "edns" => rule.edns = Some(true),
                "noedns" => rule.edns = Some(false),
                "first" => rule.first = Some(number(options.next().copied())?),
                other => return Err(format!("a rule has no condition `{other}`")),
            }
        }
        Ok(rule)
    }

    pub fn matches(&self, query: &Message, transport: AskTransport) -> bool {
        let Some(question) = query.queries.first() else { return false };
        let named = match &self.names {
            Names::Any => true,
            Names::Exactly(name) => *name == question.name,
            Names::Below(name) => name.zone_of(&question.name) && *name != question.name,
        };
        named
            && self.rtype.is_none_or(|rtype| rtype == question.query_type)
            && self.transport.is_none_or(|wanted| wanted == transport)
            && self.edns.is_none_or(|wanted| wanted == query.edns.is_some())
            && self.first.is_none_or(|limit| self.hits < limit)
    }
}

fn number<T: std::str::FromStr>(word: Option<&str>) -> Result<T, String> {
    let word = word.ok_or("a number is missing")?;
    word.parse().map_err(|_| format!("`{word}` is no number"))
}

impl Action {
    /// From one line of a rule.
    pub fn parse(line: &str) -> Result<Action, String> {
        let mut rest = line;
        let key = text::word(&mut rest);
        Ok(match key {
            "drop" => Action::Drop,
            "delay" => Action::Delay(text::duration(rest)?),
            "from-zone" => Action::FromZone,
            "rcode" => Action::Rcode(text::response_code(rest)?),
            "flag" => Action::flag(rest)?,
            "answer" | "authority" | "additional" => Action::add(section(key)?, rest, 1)?,
            "repeat" => {
                let count = number(Some(text::word(&mut rest)))?;
                let section = section(text::word(&mut rest))?;
                Action::add(section, rest, count)?
            }
            "clear" => Action::Clear(section(rest)?),
            "of" => {
                let section = section(text::word(&mut rest))?;
                let name = text::name(text::word(&mut rest))?;
                Action::Of(section, name, text::record_type(rest)?)
            }
            "prove" => {
                let name = text::name(text::word(&mut rest))?;
                Action::Prove(name, text::record_type(rest)?)
            }
            "strip" => Action::Strip(text::record_type(rest)?),
            "question" => {
                let name = text::name(text::word(&mut rest))?;
                Action::Question(name, if rest.is_empty() { None } else { Some(text::record_type(rest)?) })
            }
            "no-question" => Action::NoQuestion,
            "no-edns" => Action::NoEdns,
            "wrong-id" => Action::WrongId,
            "junk" => Action::Junk(number(Some(rest))?),
            "cut" => Action::Cut(number(Some(rest))?),
            "append" => Action::Append(text::hex(rest)?),
            "twice" => Action::Twice,
            "link" => Action::Link(link(rest)?),
            "forge" => {
                let kind = forgery(text::word(&mut rest))?;
                Action::Forge(kind, if rest.is_empty() { 1 } else { number(Some(rest))? })
            }
            other => return Err(format!("a rule has no action `{other}`")),
        })
    }

    fn flag(word: &str) -> Result<Action, String> {
        let (name, on) = word.strip_prefix('!').map_or((word, true), |name| (name, false));
        if !["aa", "tc", "ra", "rd", "ad", "qr"].contains(&name) {
            return Err(format!("`{name}` is no flag"));
        }
        Ok(Action::Flag(name.to_string(), on))
    }

    fn add(section: Section, template: &str, count: u32) -> Result<Action, String> {
        text::record(&template.replace("{qname}", "a.example.").replace("{n}", "1"))?;
        Ok(Action::Add(section, template.to_string(), count))
    }

    /// Does its part in a response's sections, as they are being made.
    pub fn fill(&self, sections: &mut Sections, qname: &Name) {
        match self {
            Action::Add(section, template, count) => {
                let list = match section {
                    Section::Answer => &mut sections.answers,
                    Section::Authority => &mut sections.authorities,
                    Section::Additional => &mut sections.additionals,
                };
                for n in 1..=*count {
                    let line = template.replace("{qname}", &qname.to_ascii()).replace("{n}", &n.to_string());
                    list.push(text::record(&line).expect("the template was checked"));
                }
            }
            Action::Clear(Section::Answer) => sections.answers.clear(),
            Action::Clear(Section::Authority) => sections.authorities.clear(),
            Action::Clear(Section::Additional) => sections.additionals.clear(),
            Action::Strip(rtype) => sections.strip(*rtype),
            Action::Rcode(rcode) => sections.rcode = *rcode,
            Action::Flag(flag, on) if flag == "aa" => sections.authoritative = *on,
            _ => {}
        }
    }
}

fn section(word: &str) -> Result<Section, String> {
    match word {
        "answer" => Ok(Section::Answer),
        "authority" => Ok(Section::Authority),
        "additional" => Ok(Section::Additional),
        other => Err(format!("`{other}` is no section")),
    }
}

fn link(word: &str) -> Result<LinkError, String> {
    match word {
        "refused" => Ok(LinkError::Refused),
        "unreachable" => Ok(LinkError::Unreachable),
        "no-route" => Ok(LinkError::NoRoute),
        "closed" => Ok(LinkError::Closed),
        "exhausted" => Ok(LinkError::Exhausted),
        other => Err(format!("`{other}` is no link error")),
    }
}

fn forgery(word: &str) -> Result<Forgery, String> {
    match word {
        "wrong-id" => Ok(Forgery::WrongId),
        "wrong-case" => Ok(Forgery::WrongCase),
        "wrong-question" => Ok(Forgery::WrongQuestion),
        "junk" => Ok(Forgery::Junk),
        other => Err(format!("`{other}` is no forgery")),
    }
}
