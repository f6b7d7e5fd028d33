//! Answers known beforehand: special-use names, empty zones, the operator's own records.

/// What is answered without asking anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Answer special-use names (RFC 6761, 7686, 8375, 9476) and the empty reverse zones
    /// (RFC 6303) here, so that they never leak.
    pub special_use: bool,
    /// The operator's own records, in presentation format: `"printer.home.arpa. 300 IN A 192.168.1.9"`.
    pub records: Vec<String>,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy { special_use: true, records: Vec::new() }
    }
}
