//! DNS messages: a bounded view of queries, a bounded walk over responses, composing, and the only
//! façade over hickory-proto.

mod compose;
mod message;
mod name;
mod rdata;
mod read;
mod registry;
mod text;
mod types;
mod view;

pub use compose::{Composer, Full, Mark, Section, header_only, set_id, write_opt};
pub use message::{Edns, HEADER, MAX_OPTIONS, Message, Record, for_each_option, leading_name, soa_minimum};
pub use name::{Labels, MAX_LABEL, MAX_NAME, Name, NameError, last_word, lowered, lowered_word, wire_name_len};
pub use rdata::show_rdata;
pub use read::{MAX_HOPS, ParseError};
pub use text::{TextRecord, parse_record};
pub use types::{CLASS_ANY, CLASS_CH, CLASS_IN, Flags, Question, Rcode, Rtype, ede, option};
pub use view::{EdnsView, QueryView, Unreadable};
