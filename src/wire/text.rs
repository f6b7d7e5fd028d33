//! Presentation format, through hickory-proto: zone files in, record data out.

use hickory_proto::rr::{Name as HickoryName, RData, RecordType};
use hickory_proto::serialize::binary::{BinDecoder, BinEncodable, BinEncoder, NameEncoding, Restrict};
use hickory_proto::serialize::txt::Parser;

use super::name::Name;
use super::types::Rtype;

/// A record as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextRecord {
    pub owner: Name,
    pub rtype: Rtype,
    pub ttl: u32,
    /// Uncompressed wire form.
    pub rdata: Vec<u8>,
}

/// Parses a master file (RFC 1035 §5) into its records, in the order of owner and type.
pub fn parse_zone(text: &str, origin: &Name) -> Result<Vec<TextRecord>, String> {
    let origin = HickoryName::from_ascii(origin.to_string()).map_err(|e| e.to_string())?;
    let (_, sets) = Parser::new(text, None, Some(origin)).parse().map_err(|e| e.to_string())?;
    let mut records = Vec::new();
    for set in sets.values() {
        for record in set.records_without_rrsigs() {
            let mut rdata = Vec::new();
            let mut encoder = BinEncoder::new(&mut rdata);
            encoder.set_canonical_form(false);
            encoder.set_name_encoding(NameEncoding::Uncompressed);
            record.data.emit(&mut encoder).map_err(|e| e.to_string())?;
            records.push(TextRecord {
                owner: Name::parse(&record.name.to_ascii()).map_err(|e| e.to_string())?,
                rtype: Rtype(record.record_type().into()),
                ttl: record.ttl,
                rdata,
            });
        }
    }
    Ok(records)
}

/// Parses one record in presentation format; without a TTL it gets an hour.
pub fn parse_record(text: &str) -> Result<TextRecord, String> {
    let zone = format!("$TTL 3600\n{text}\n");
    let mut records = parse_zone(&zone, &Name::root())?;
    match (records.pop(), records.pop()) {
        (Some(record), None) => Ok(record),
        (None, _) => Err("no record in it".to_owned()),
        _ => Err("more than one record in it".to_owned()),
    }
}

/// Record data in presentation format; the generic form of RFC 3597 §5 where the type is not known.
pub fn show_rdata(rtype: Rtype, rdata: &[u8]) -> String {
    let mut decoder = BinDecoder::new(rdata);
    let kind = RecordType::from(rtype.0);
    let known = u16::try_from(rdata.len())
        .ok()
        .and_then(|length| RData::read(&mut decoder, kind, Restrict::new(length)).ok())
        .filter(|data| !matches!(data, RData::Unknown { .. }));
    match known {
        Some(data) => data.to_string(),
        None => {
            let hex: String = rdata.iter().map(|octet| format!("{octet:02x}")).collect();
            format!("\\# {} {hex}", rdata.len()).trim_end().to_owned()
        }
    }
}
