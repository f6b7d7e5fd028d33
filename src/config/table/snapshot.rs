//! What is said of `[snapshot]`.

use super::{Setting, Settings, Shape, secs};

pub static SNAPSHOT: [Setting<Settings>; 4] = [
    Setting {
        key: "keep",
        shape: Shape::Flag(|s| &mut s.snapshot.keep),
        default: None,
        required: false,
        doc: "Keep the caches, the accounts of clients and zones, the names that are known to exist and what is known of \
              servers in a file, and begin with them at the next start: also after the process was killed. A damaged \
              file is not used, and the log says so. Changing it takes a restart.",
        reason: "A resolver that begins empty in the middle of a flood has to ask for every name again, with all its \
                 customers waiting.",
        example: "false",
    },
    Setting {
        key: "file",
        shape: Shape::File(|s| &mut s.snapshot.file),
        default: None,
        required: false,
        doc: "The file. It holds a secret of this server, so that only its user may read it, and a new one is written \
              beside it each time. Changing it takes a restart.",
        reason: "Not set: `snapshot` in the directory that the service manager names in $STATE_DIRECTORY (systemd: \
                 StateDirectory=); without one nothing is written anywhere.",
        example: r#""/var/lib/maeslant/snapshot""#,
    },
    Setting {
        key: "every",
        shape: Shape::Span { min: secs(1), max: secs(86_400), at: |s| &mut s.snapshot.every },
        default: None,
        required: false,
        doc: "How often it is written; the first time after 30 seconds, the last time at an orderly end. Changing it \
              takes a restart.",
        reason: "Five minutes: what people ask for changes slowly, and at 64 MiB that is 18 GiB a day for the disk.",
        example: r#""1m""#,
    },
    Setting {
        key: "size",
        shape: Shape::Size { min: 64 << 10, max: 1 << 40, at: |s| &mut s.snapshot.size },
        default: None,
        required: false,
        doc: "How large the file may be; what does not fit is left out, and the log says so. Room for two is needed on \
              the disk. Changing it takes a restart.",
        reason: "256 MiB hold the default cache and the books whole: a cached answer takes a third of what it takes in \
                 memory.",
        example: r#""1GiB""#,
    },
];
