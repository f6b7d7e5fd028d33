//! What a question into a trap costs the processor (KeyTrap, the NSEC3 encloser attack), and for how long it keeps an answer
//! in the cache waiting: `cargo bench --bench traps`. Ends with an error where one costs more than 20 ms. How long it takes at
//! once is only told: that hangs on what else this machine does, and the tests count the work of a turn.

#[allow(dead_code, unused_imports)] // the traps are all that is needed here
#[path = "../../tests/sim/mod.rs"]
mod sim;

use std::process::ExitCode;
use std::time::Duration;

/// The most that one question may cost.
const MOST: Duration = Duration::from_millis(20);
/// What is meant to be the most of it at once: others wait for so long.
const AT_ONCE: Duration = Duration::from_millis(1);
/// Times each is asked, each in a world of its own.
const ROUNDS: usize = 5;

fn main() -> ExitCode {
    let (mut dearest, mut longest) = (Duration::ZERO, Duration::ZERO);
    println!("{:<46} {:>12} {:>12}  RCODE", "trap", "CPU", "at once");
    let traps = [sim::traps::key_traps(), sim::traps::long_chains(), sim::traps::encloser_traps()].concat();
    for trap in &traps {
        let mut costs: Vec<_> = (0..ROUNDS).map(|_| trap.cost()).collect();
        costs.sort_by_key(|cost| cost.took);
        let median = &costs[ROUNDS / 2];
        // This machine has other things to do now and then: the least is what it takes.
        let at_once = costs.iter().map(|cost| cost.longest).min().unwrap_or_default();
        println!("{:<46} {:>12.3?} {at_once:>12.3?}  {}", trap.what, median.took, median.rcode);
        dearest = dearest.max(median.took);
        longest = longest.max(at_once);
    }
    println!("the dearest: {dearest:.3?} of {MOST:?}; the longest at once: {longest:.3?} of {AT_ONCE:?}");
    if dearest <= MOST { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
