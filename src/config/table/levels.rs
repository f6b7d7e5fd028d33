//! What is said of `[level.watch]`, `[level.guard]` and `[level.closed]`: their marks, and then their measures.

use std::time::Duration;

use super::{Setting, Settings, Shape};
use crate::admission::Part;

/// A part of something.
macro_rules! part {
    ($level:ident, $key:ident, $min:expr, $max:expr, never: $never:literal, $example:literal, $doc:expr, $reason:literal) => {
        Setting {
            key: stringify!($key),
            shape: Shape::Part {
                min: $min,
                max: $max,
                never: $never,
                at: |s| &mut s.engine.access.limits.levels.$level.$key,
            },
            default: None,
            required: false,
            doc: $doc,
            reason: $reason,
            example: concat!("\"", $example, "\""),
        }
    };
}

/// A mark: a part of something.
macro_rules! mark {
    ($level:ident, $key:ident, $example:literal, $doc:literal, $reason:literal) => {
        part!(
            $level,
            $key,
            Part(1),
            Part::WHOLE,
            never: true,
            $example,
            concat!("A mark: \"", stringify!($level), "\" holds from here on. ", $doc),
            $reason
        )
    };
}

/// The longest turn, the one mark that is a time.
macro_rules! delay {
    ($level:ident, $example:literal, $reason:literal) => {
        Setting {
            key: "delay",
            shape: Shape::Span {
                min: Duration::from_millis(1),
                max: Duration::from_secs(60),
                at: |s| &mut s.engine.access.limits.levels.$level.delay,
            },
            default: None,
            required: false,
            doc: concat!(
                "A mark: \"",
                stringify!($level),
                "\" holds from here on. How long a turn of a shard took, as far as that was work of its own: so long did \
                 some packet wait at least."
            ),
            reason: $reason,
            example: concat!("\"", $example, "\""),
        }
    };
}

/// A measure: a part of what holds otherwise.
macro_rules! measure {
    ($level:ident, $key:ident, $min:literal to $max:literal, $example:literal, $doc:literal, $reason:literal) => {
        part!(
            $level,
            $key,
            Part::percent($min),
            Part::percent($max),
            never: false,
            $example,
            concat!("A measure under \"", stringify!($level), "\". ", $doc),
            $reason
        )
    };
}

macro_rules! busy {
    ($level:ident, $example:literal, $reason:literal) => {
        mark!(
            $level,
            busy,
            $example,
            "The part of the time that a shard is at work, or would have been if others had not had the processor.",
            $reason
        )
    };
}

macro_rules! dropped {
    ($level:ident, $example:literal, $reason:literal) => {
        mark!(
            $level,
            dropped,
            $example,
            "The part of the packets that the kernel dropped because nobody took them.",
            $reason
        )
    };
}

macro_rules! queue {
    ($level:ident, $example:literal, $reason:literal) => {
        mark!($level, queue, $example, "The part of the room for waiting packets that is taken.", $reason)
    };
}

macro_rules! in_flight {
    ($level:ident, $example:literal, $reason:literal) => {
        mark!($level, in_flight, $example, "The part of the places for questions in flight that is taken.", $reason)
    };
}

macro_rules! memory {
    ($level:ident, $example:literal, $reason:literal) => {
        mark!(
            $level,
            memory,
            $example,
            "The part taken of the memory there is to grow into: what the process has beyond [cache] memory and [limits] \
             table_memory, and 256 MiB, against what its control group and the machine have left. Those who wait for an \
             answer and replies that clients do not read have room of their own, which counts up to 96 %.",
            $reason
        )
    };
}

macro_rules! share {
    ($level:ident, $example:literal, $reason:literal) => {
        measure!(
            $level,
            share,
            1 to 10_000,
            $example,
            "What clients, and the prefixes around them, may use, of their share (see [limits] client_rate).",
            $reason
        )
    };
}

macro_rules! tcp_idle {
    ($level:ident, $example:literal, $reason:literal) => {
        measure!(
            $level,
            tcp_idle,
            1 to 100,
            $example,
            "How long a connection may idle, of [server] tcp_idle_timeout; half a second at least.",
            $reason
        )
    };
}

macro_rules! strangers {
    ($level:ident, $example:literal, $reason:literal) => {
        measure!(
            $level,
            strangers,
            0 to 100,
            $example,
            "How many questions of addresses that were not served lately are answered, of [limits] stranger_rate.",
            $reason
        )
    };
}

macro_rules! ration {
    ($level:ident, $example:literal, $reason:literal) => {
        measure!(
            $level,
            ration,
            0 to 100,
            $example,
            "How many octets go to those addresses of a network that were not served lately, of [limits] ration.",
            $reason
        )
    };
}

pub static WATCH: [Setting<Settings>; 8] = [
    busy!(watch, "75%", "A quarter that is left is soon gone."),
    dropped!(watch, "0.01%", "One in ten thousand is the first sign that there is not room for all."),
    queue!(watch, "50%", "What waits is answered late; half of the room is some milliseconds."),
    delay!(watch, "20ms", "A client notices it."),
    in_flight!(watch, "50%", "Some servers are slow, or somebody asks what nobody has an answer to."),
    memory!(watch, "90%", "28 MiB are left if nothing is unplanned, 142 MiB with a GiB that is."),
    share!(
        watch,
        "400%",
        "There is still room: who asks four times as much as anybody should is the first to do without."
    ),
    tcp_idle!(watch, "100%", "Connections cost little; what they have too much of is places, and those are counted."),
];

pub static GUARD: [Setting<Settings>; 10] = [
    busy!(guard, "95%", "Next to nothing is left."),
    dropped!(guard, "1%", "Clients ask again after a second or more, and some in a hundred notice."),
    queue!(guard, "80%", "It is about to overflow, which hits everybody alike."),
    delay!(guard, "50ms", "An answer from the cache takes as long as one from far away."),
    in_flight!(guard, "75%", "What is left belongs to names that are known to exist."),
    memory!(guard, "95%", "13 MiB are left if nothing is unplanned, 67 MiB with a GiB that is."),
    share!(guard, "100%", "Everybody has his share, and no more."),
    strangers!(guard, "100%", "The rate is made for this level."),
    ration!(guard, "12.5%", "Who was served in peace does not pay for what is forged beside him."),
    tcp_idle!(
        guard,
        "25%",
        "Who has nothing to ask makes room for others; RFC 7766 §6.2.3 lets a server close at any time."
    ),
];

pub static CLOSED: [Setting<Settings>; 10] = [
    busy!(closed, "never", "Being busy alone costs nobody an answer."),
    dropped!(closed, "20%", "One in five is lost: most of what comes is a flood."),
    queue!(closed, "never", "What waits is answered; only what is dropped is not."),
    delay!(closed, "1s", "Clients have asked again by then, and both questions are answered in vain."),
    in_flight!(closed, "95%", "The last places."),
    memory!(
        closed,
        "98%",
        "5 MiB are left if nothing is unplanned, 26 MiB with a GiB that is; then the system ends the process."
    ),
    share!(closed, "50%", "More than there is was asked for by those who had their whole share."),
    strangers!(
        closed,
        "10%",
        "In such a flood nearly all of them are forged; who is real comes by TCP or with a cookie."
    ),
    ration!(closed, "12.5%", "As under guard: it is little as it is."),
    tcp_idle!(closed, "6.25%", "Under a second, long enough for the next question of who has one."),
];
