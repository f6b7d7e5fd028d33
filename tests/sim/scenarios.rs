//! One test a scenario file. The list is written by hand and compared with the folder.

use super::steps;

macro_rules! scenarios {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                steps::play(concat!(stringify!($name), ".scenario"));
            }
        )*

        const LISTED: &[&str] = &[$(stringify!($name)),*];
    };
}

scenarios! {
    a_referral_is_followed_to_the_answer
}

#[test]
fn every_scenario_file_is_listed() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<String> = std::fs::read_dir(&folder)
        .expect("the folder of scenarios")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter_map(|file| file.strip_suffix(".scenario").map(ToString::to_string))
        .collect();
    files.sort();
    let mut listed: Vec<String> = LISTED.iter().map(ToString::to_string).collect();
    listed.sort();
    assert_eq!(files, listed, "the files of tests/scenarios and the list in tests/sim/scenarios.rs differ");
}
