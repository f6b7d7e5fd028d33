//! What a question into a trap costs the processor (KeyTrap, the NSEC3 encloser attack): `cargo bench --bench traps`.
//! Ends with an error where one costs more than 20 ms.

#[allow(dead_code, unused_imports)] // the traps are all that is needed here
#[path = "../../tests/sim/mod.rs"]
mod sim;

use std::process::ExitCode;
use std::time::Duration;

/// The most that one question may cost.
const MOST: Duration = Duration::from_millis(20);
/// Times each is asked, each in a world of its own.
const ROUNDS: usize = 5;

fn main() -> ExitCode {
    let mut dearest = Duration::ZERO;
    println!("{:<46} {:>12} {:>12}  RCODE", "trap", "CPU", "at once");
    for trap in sim::traps::key_traps().iter().chain(&sim::traps::encloser_traps()) {
        let mut costs: Vec<_> = (0..ROUNDS).map(|_| trap.cost()).collect();
        costs.sort_by_key(|cost| cost.took);
        let median = &costs[ROUNDS / 2];
        println!("{:<46} {:>12.3?} {:>12.3?}  {}", trap.what, median.took, median.longest, median.rcode);
        dearest = dearest.max(median.took);
    }
    println!("the dearest: {dearest:.3?} of {MOST:?}");
    if dearest <= MOST { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
