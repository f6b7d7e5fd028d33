//! The operator's own records: checked, and put above what a special-use zone says.

use super::tree::{Node, Rr, Tree};
use crate::wire::{Rtype, TextRecord, parse_record};

/// The largest TTL (RFC 2181 §8), in seconds.
const MAX_TTL: u32 = 0x7fff_ffff;

/// Puts `records` into `tree`. The error has a line for each record that is wrong.
pub(super) fn plant(tree: &mut Tree, records: &[String]) -> Result<(), String> {
    let mut wrong = Vec::new();
    for text in records {
        let planted = parse(text).and_then(|record| add(tree.node_mut(&record.owner), record));
        if let Err(reason) = planted {
            wrong.push(format!("local record \"{}\": {reason}", text.escape_debug()));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn parse(text: &str) -> Result<TextRecord, String> {
    // Directives of zone files: `$INCLUDE` would read a file.
    if text.lines().any(|line| line.trim_start().starts_with('$')) {
        return Err("a directive is no record".to_owned());
    }
    if let Some(class) = foreign_class(text) {
        return Err(format!("it has class {class}: only IN is served here"));
    }
    let record = parse_record(text)?;
    if record.ttl > MAX_TTL {
        return Err(format!("the TTL {} is above {MAX_TTL}", record.ttl));
    }
    if record.rtype.is_meta() {
        return Err(format!("{} is no type of a record", record.rtype));
    }
    if record.rtype == Rtype::DNAME {
        return Err("a DNAME here would rename nothing: only its own name is answered".to_owned());
    }
    Ok(record)
}

/// The class between owner and type, unless it is IN: the parser takes any for IN.
fn foreign_class(text: &str) -> Option<&str> {
    let mut words = text.split_whitespace().skip(1).skip_while(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    words.next().filter(|word| ["CH", "HS", "CS", "ANY", "NONE"].iter().any(|class| word.eq_ignore_ascii_case(class)))
}

fn add(node: &mut Node, record: TextRecord) -> Result<(), String> {
    let alias = record.rtype == Rtype::CNAME;
    if alias || record.rtype == Rtype::SOA {
        let same = |rr: &Rr| rr.operators && rr.rtype == record.rtype && *rr.rdata != *record.rdata;
        if node.rrs.iter().any(same) {
            return Err(format!("{} has another {} record already", record.owner, record.rtype));
        }
    }
    let clash = |rr: &Rr| rr.operators && alias != (rr.rtype == Rtype::CNAME);
    if node.rrs.iter().any(clash) {
        return Err(format!("a CNAME stands alone at its name (RFC 2181 §10.1), and {} has more", record.owner));
    }
    node.rrs.retain(|rr| rr.operators || !(alias || rr.rtype == record.rtype));
    let rr = Rr { rtype: record.rtype, ttl: record.ttl, rdata: record.rdata.into_boxed_slice(), operators: true };
    if let (Rtype::SOA, Some(zone)) = (rr.rtype, &mut node.zone) {
        zone.soa = rr.as_negative();
    }
    // The TTLs of a record set are equal (RFC 2181 §5.2): the least of them holds.
    let of_set = || node.rrs.iter().filter(|other| other.operators && other.rtype == rr.rtype);
    let ttl = of_set().map(|other| other.ttl).chain([rr.ttl]).min().unwrap_or(rr.ttl);
    if !of_set().any(|other| other.rdata == rr.rdata) {
        node.rrs.push(rr.clone());
    }
    for other in node.rrs.iter_mut().filter(|other| other.rtype == rr.rtype) {
        other.ttl = ttl;
    }
    Ok(())
}
