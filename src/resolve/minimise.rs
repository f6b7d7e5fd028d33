//! How much of a name a server is shown (RFC 9156).

use crate::wire::{Name, Question, Rtype};

use super::Minimisation;

/// Steps in all, and steps of one label each before the rest is spread (RFC 9156 §2.3).
const MAX_STEPS: usize = 10;
const ONE_LABEL_STEPS: usize = 4;

/// Zones of so many labels are an organisation's own: what is below one of their names without being cut off is theirs
/// too, but for rare exceptions. Under `arpa` delegations are deep.
const OWN_ZONE: usize = 2;

/// The way from zone to zone of one name.
pub(super) struct Minimiser {
    mode: Minimisation,
    /// Labels shown last.
    shown: usize,
    steps: usize,
}

impl Minimiser {
    pub fn new(mode: Minimisation) -> Minimiser {
        Minimiser { mode, shown: 0, steps: 0 }
    }

    /// What to ask a server of `zone` on the way to `question`. `None`: the question itself.
    pub fn next(&mut self, zone: &Name, question: &Question) -> Option<Name> {
        let total = question.name.label_count();
        let known = zone.label_count().max(self.shown);
        if self.mode == Minimisation::Off || known + 1 >= total || self.steps >= MAX_STEPS {
            return None;
        }
        let left = total - known;
        let step = if self.steps < ONE_LABEL_STEPS { 1 } else { left.div_ceil(MAX_STEPS - self.steps) };
        if known + step >= total { None } else { Some(question.name.suffix(known + step)) }
    }

    /// There is no cut at `name`, as a server of `zone` said (`asked`), or as was known without asking.
    pub fn no_cut(&mut self, zone: &Name, name: &Name, asked: bool) {
        self.shown = name.label_count();
        self.steps += usize::from(asked);
        if self.mode == Minimisation::Relaxed && zone.label_count() >= OWN_ZONE && !is_under_arpa(zone) {
            self.mode = Minimisation::Off;
        }
    }

    /// The whole name from here on.
    pub fn give_up(&mut self) {
        self.mode = Minimisation::Off;
    }

    /// Is the whole name asked for from here on?
    pub fn has_ended(&self) -> bool {
        self.mode == Minimisation::Off
    }

    /// Is a server's word on a shortened name final?
    pub fn is_strict(&self) -> bool {
        self.mode == Minimisation::Strict
    }
}

fn is_under_arpa(zone: &Name) -> bool {
    zone.wire().ends_with(b"\x04arpa\0")
}

/// The type asked for shortened names (RFC 9156 §2.1 leaves the choice). NS is what the question is about, is what
/// BIND and Knot Resolver ask, and a server of parent and child at once shows the cut in its answer.
pub(super) const SHORTENED_TYPE: Rtype = Rtype::NS;

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(name: &str, zone: &str) -> Vec<String> {
        let question = Question::new(Name::parse(name).expect("name"), Rtype::A);
        let zone = Name::parse(zone).expect("zone");
        let mut minimiser = Minimiser::new(Minimisation::Relaxed);
        let mut shown = Vec::new();
        while let Some(name) = minimiser.next(&zone, &question) {
            minimiser.no_cut(&zone, &name, true);
            shown.push(name.to_string());
        }
        shown
    }

    #[test]
    fn one_label_at_a_time() {
        assert_eq!(steps("a.b.c.d.", "d."), ["c.d.", "b.c.d."]);
        assert_eq!(steps("c.d.", "d."), [""; 0]);
        assert_eq!(steps("d.", "."), [""; 0]);
    }

    #[test]
    fn an_organisation_sees_its_own_names_whole_after_one_without_a_cut() {
        assert_eq!(steps("a.b.deep.example.nl.", "example.nl."), ["deep.example.nl."]);
        assert_eq!(steps("a.b.c.example.nl.", "nl."), ["example.nl.", "c.example.nl.", "b.c.example.nl."]);
    }

    #[test]
    fn at_most_ten_steps_for_the_longest_reverse_name() {
        let name = format!("{}ip6.arpa.", "1.".repeat(32));
        let shown = steps(&name, ".");
        assert!(shown.len() <= MAX_STEPS, "{shown:?}");
        assert_eq!(&shown[..2], ["arpa.", "ip6.arpa."]);
        assert!(shown.last().expect("some").len() < name.len());
    }
}
