//! Texts that people write: values with their units, and what is wrong with a text and where.

pub mod report;
pub mod syntax;
pub mod units;

/// The word that was probably meant, if one is near enough.
pub fn nearest<'a>(written: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |word: &str| word.to_ascii_lowercase().replace('-', "_");
    let written = plain(written);
    // Beyond this it is not a slip of the hand, and the distance costs time.
    if written.len() > 64 {
        return None;
    }
    let allowed = (written.chars().count() / 3).clamp(1, 3);
    // A word cut short, or one with an ending too many, is near whatever the distance.
    let distance = |word: &str| {
        let word = plain(word);
        let begins = word.len().min(written.len()) >= 3 && (word.starts_with(&written) || written.starts_with(&word));
        if begins { 1 } else { strsim::damerau_levenshtein(&written, &word) }
    };
    words
        .map(|word| (distance(word), word))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}
