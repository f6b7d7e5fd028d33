//! Dates as RFC 3339 writes them, as seconds since 1970.

use toml::value::{Datetime, Offset};

use super::units::Wrong;
use crate::clock::UnixTime;

const DAY: i64 = 86_400;

/// `2026-12-31`, which is the first moment of that day in UTC, or `2026-12-31T08:00:00Z`.
pub fn read(text: &str) -> Result<UnixTime, Wrong> {
    match text.trim().parse() {
        Ok(datetime) => of(&datetime),
        Err(_) => Err(Wrong {
            what: "not a date that exists: expected year-month-day, or that with a time in UTC (RFC 3339)".into(),
            help: Some("write \"2026-12-31\" or \"2026-12-31T08:00:00Z\"".into()),
        }),
    }
}

/// As [`read()`], of a date that stands without quotes.
pub fn of(datetime: &Datetime) -> Result<UnixTime, Wrong> {
    let wrong = |what: &str, help: &str| Err(Wrong { what: what.into(), help: Some(help.to_owned()) });
    let Some(date) = datetime.date else {
        return wrong("a time without its day", "write \"2026-12-31T08:00:00Z\"");
    };
    let ahead = match (datetime.time, datetime.offset) {
        (None, _) | (_, Some(Offset::Z)) => 0,
        (Some(_), Some(Offset::Custom { minutes })) => i64::from(minutes) * 60,
        (Some(_), None) => return wrong("the time zone is missing", "write Z after the time for UTC, or +01:00"),
    };
    let clock = datetime.time.map_or(0, |time| {
        i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + i64::from(time.second.unwrap_or(0))
    });
    let days = days(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    match u64::try_from(days * DAY + clock - ahead) {
        Ok(seconds) => Ok(UnixTime(seconds)),
        Err(_) => Err(Wrong { what: "before 1970".into(), help: None }),
    }
}

/// As RFC 3339 writes it, in UTC; the date alone where it is midnight.
pub fn write(time: UnixTime) -> String {
    let seconds = i64::try_from(time.0).unwrap_or(i64::MAX);
    let (year, month, day) = date(seconds.div_euclid(DAY));
    let clock = seconds.rem_euclid(DAY);
    let date = format!("{year:04}-{month:02}-{day:02}");
    match clock {
        0 => date,
        _ => format!("{date}T{:02}:{:02}:{:02}Z", clock / 3600, clock / 60 % 60, clock % 60),
    }
}

/// Days from 1970-01-01 in the Gregorian calendar. Years begin in March here, so that a leap day is the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year - 719_468
}

/// The reverse of [`days`].
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_they_are_written() {
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400),
            ("2026-12-31", 1_798_675_200),
            ("2038-01-19T03:14:08Z", 1 << 31),
            ("2100-03-01", 4_107_542_400),
            ("9999-12-31", 253_402_214_400),
        ] {
            assert_eq!(read(text), Ok(UnixTime(seconds)), "{text}");
            assert_eq!(write(UnixTime(seconds)), text);
        }
        for day in (0..200_000).step_by(97) {
            let (year, month, of_month) = date(day);
            assert_eq!(days(year, month, of_month), day);
        }
        assert_eq!(read("2026-12-31T01:00:00+01:00"), read("2026-12-31"));
        assert_eq!(read("2026-12-31 00:00:00Z"), read("2026-12-31"));
        for (text, part) in [
            ("2026-02-29", "not a date that exists"),
            ("31.12.2026", "not a date that exists"),
            ("tomorrow", "not a date that exists"),
            ("2026-12-31T08:00:00", "the time zone is missing"),
            ("08:00:00", "without its day"),
            ("1969-12-31", "before 1970"),
        ] {
            assert!(read(text).unwrap_err().what.contains(part), "{text}");
        }
    }
}
