//! What is said of `[stale]`.

use std::time::Duration;

use super::{Setting, Settings, Shape, secs};
use crate::admission::Mode;

pub static STALE: [Setting<Settings>; 4] = [
    Setting {
        key: "serve",
        shape: Shape::Choice {
            of: &["enforce", "observe", "off"],
            get: |s| match s.engine.resolve.stale.serve {
                Mode::Enforce => "enforce",
                Mode::Observe => "observe",
                Mode::Off => "off",
            },
            set: |s, word| {
                s.engine.resolve.stale.serve = match word {
                    "observe" => Mode::Observe,
                    "off" => Mode::Off,
                    _ => Mode::Enforce,
                };
            },
        },
        default: None,
        required: false,
        doc: "Whether an answer whose time is over is given where there is no other: its servers fail or are slow, or the \
              client has used up its share. enforce: it is. observe: it is counted, and not given. off: neither. What does \
              not validate is never covered up so, and signed answers are given as long as their signatures hold.",
        reason: "An address that was right an hour ago is better than none while a zone is under attack (RFC 8767). \
                 Clients can tell by the extended errors 3 and 19.",
        example: r#""observe""#,
    },
    Setting {
        key: "max_age",
        shape: Shape::Span { min: secs(1), max: secs(7 * 86_400), at: |s| &mut s.engine.resolve.stale.max_age },
        default: None,
        required: false,
        doc: "How long after its time an answer may still be given. It takes no memory beyond [cache] memory: what is asked \
              for little gives way first.",
        reason: "A day: most outages end within it, and what has moved for good is found out within it (RFC 8767 §5 \
                 advises one to three days).",
        example: r#""1d""#,
    },
    Setting {
        key: "after",
        shape: Shape::Span { min: Duration::ZERO, max: secs(10), at: |s| &mut s.engine.resolve.stale.after },
        default: None,
        required: false,
        doc: "How long a client waits for a fresh answer before it is given the stale one; asking goes on behind it. Where \
              the servers are known to fail nobody waits.",
        reason: "Most names resolve in well under a second, and stub resolvers ask again after two or more (RFC 8767 §5).",
        example: r#""1800ms""#,
    },
    Setting {
        key: "ttl",
        shape: Shape::Span { min: secs(1), max: secs(3600), at: |s| &mut s.engine.resolve.stale.ttl },
        default: None,
        required: false,
        doc: "The TTL that stale answers are given with.",
        reason: "Clients come back soon for a fresh one, and not at once (RFC 8767 §4).",
        example: r#""30s""#,
    },
];
