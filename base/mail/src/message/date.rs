//! Date and time as mail writes them (RFC 5322 §3.3), with the offset in digits (RFC 5321 §4.4).
//! RFC 5321 §4.4 DEPARTS: times are in UTC and not local; servers of a cluster and their operators read them in one way.

use std::fmt;

use crate::envelope::UnixMillis;

/// Prints `Tue, 24 Nov 2026 04:48:37 +0000`.
#[derive(Clone, Copy, Debug)]
pub struct MailDate(pub UnixMillis);

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Year, month (1-12) and day of a day since 1970 in the proleptic Gregorian calendar.
pub(crate) fn civil(days: u64) -> (u64, u64, u64) {
    // Count from 1 March of year 0, so that the leap day ends a year; 719,468 days lie between it and 1970-01-01.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

impl fmt::Display for MailDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.0 / 1_000;
        let (days, of_day) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(days);
        let name =
            |names: &[&'static str], index: u64| usize::try_from(index).ok().and_then(|i| names.get(i).copied()).unwrap_or("???");
        write!(
            f,
            "{}, {day} {} {year:04} {:02}:{:02}:{:02} +0000",
            name(&DAYS, days % 7),
            name(&MONTHS, month - 1),
            of_day / 3_600,
            of_day / 60 % 60,
            of_day % 60
        )
    }
}

/// Prints `2026-11-24T04:48:37Z` (RFC 3339 §5.6).
#[derive(Clone, Copy, Debug)]
pub struct StandardDate(pub UnixMillis);

impl fmt::Display for StandardDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.0 / 1_000;
        let (days, of_day) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(days);
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", of_day / 3_600, of_day / 60 % 60, of_day % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_writing_begins_with_the_year() {
        assert_eq!(StandardDate(UnixMillis(1_795_495_717_999)).to_string(), "2026-11-24T04:48:37Z");
    }

    #[test]
    fn known_days_print_right() {
        for (seconds, text) in [
            (0, "Thu, 1 Jan 1970 00:00:00 +0000"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
            (1_795_495_717, "Tue, 24 Nov 2026 04:48:37 +0000"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 +0000"),
            (4_107_542_400, "Mon, 1 Mar 2100 00:00:00 +0000"),
        ] {
            assert_eq!(MailDate(UnixMillis(seconds * 1_000)).to_string(), text);
            let standard = StandardDate(UnixMillis(seconds * 1_000)).to_string();
            assert_eq!(standard.split_once('T').unwrap().1.trim_end_matches('Z'), text.split(' ').nth(4).unwrap());
        }
    }
}
