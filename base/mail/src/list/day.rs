//! Days and times of the calendar as an operator writes them: `2027-01-31`, or `2027-01-31T18:00:00Z`. Promise: what is printed reads back as the
//! same point in time.

use crate::envelope::UnixMillis;
use crate::message::date::civil;

const DAY_SECONDS: u64 = 86_400;

/// Days from 1970 to a date, if there is such a date.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // The year begins in March here, so that the leap day ends it.
    let (year_of_march, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year_of_march / 400, year_of_march % 400);
    let day_of_year = (153 * months + 2) / 5 + day - 1;
    let days = (era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year).checked_sub(719_468)?;
    // The 31st of February comes out as a day of March.
    (civil(days) == (year, month, day)).then_some(days)
}

fn number(text: &str, digits: usize) -> Option<u64> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// The end that is meant. A day without a time counts as a whole, in UTC: its end is the beginning of the next.
#[must_use]
pub fn parse_end(text: &str) -> Option<UnixMillis> {
    let (date, time) = text.split_once('T').map_or((text, None), |(date, time)| (date, Some(time)));
    let mut parts = date.splitn(3, '-');
    let (year, month, day) = (number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let days = days(year, month, day)?;
    let seconds = match time {
        None => DAY_SECONDS,
        Some(time) => {
            let time = time.strip_suffix('Z')?;
            let mut parts = time.splitn(3, ':');
            let (hour, minute) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
            let second = parts.next().map_or(Some(0), |text| number(text, 2))?;
            if hour > 23 || minute > 59 || second > 59 {
                return None;
            }
            hour * 3600 + minute * 60 + second
        }
    };
    Some(UnixMillis((days * DAY_SECONDS + seconds) * 1000))
}

/// An end as it is read: the day it is the end of, or the time.
#[must_use]
pub fn print_end(end: UnixMillis) -> String {
    let seconds = end.0.div_ceil(1000);
    let (days, of_day) = (seconds / DAY_SECONDS, seconds % DAY_SECONDS);
    if of_day == 0 && days > 0 {
        let (year, month, day) = civil(days - 1);
        return format!("{year:04}-{month:02}-{day:02}");
    }
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_lasts_until_its_end_and_prints_as_itself() {
        assert_eq!(parse_end("1970-01-01"), Some(UnixMillis(86_400_000)));
        for text in ["1970-01-01", "2027-01-31", "2028-02-29", "2100-02-28", "9999-12-31", "2027-01-31T18:00:00Z"] {
            assert_eq!(print_end(parse_end(text).unwrap()), text);
        }
        assert_eq!(parse_end("2027-01-31T18:00Z"), parse_end("2027-01-31T18:00:00Z"));
        assert_eq!(parse_end("2027-01-30T00:00:00Z").map(print_end).as_deref(), Some("2027-01-29"));
    }

    #[test]
    fn what_is_no_day_is_none() {
        for text in
            ["2027-02-29", "2027-13-01", "2027-1-1", "31.01.2027", "2027-01-31T24:00Z", "2027-01-31T18:00", "", "T", "1969-12-31"]
        {
            assert_eq!(parse_end(text), None, "{text}");
        }
    }
}
