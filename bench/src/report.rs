//! Head: turns what was measured into tables, judges it by the goals, and keeps them in the page on speed.
//!
//! Promise: a figure is never shown without its spread, its date and how busy the machine was with other things; a missed goal is
//! marked as missed.

use std::fmt::Write as _;

/// Where the tables begin and end in the page.
const BEGIN: &str = "<!-- bench:begin -->";
const END: &str = "<!-- bench:end -->";

/// The same thing measured several times.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().filter(|value| !value.is_nan()).collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The middle one, which may be endless: what never came counts as late, not as if it had not been asked for. Of an even number, the mean of the two in the middle. NaN when nothing was measured.
    pub(crate) fn median(&self) -> f64 {
        let at = |index: usize| self.0.get(index).copied().unwrap_or(f64::NAN);
        let middle = self.0.len() / 2;
        if self.0.len() % 2 == 1 { at(middle) } else { f64::midpoint(at(middle.wrapping_sub(1)), at(middle)) }
    }

    /// `median (least-most)`.
    pub(crate) fn show(&self) -> String {
        match (self.0.first(), self.0.last()) {
            (Some(least), Some(most)) if self.0.len() > 1 => {
                format!("**{}** ({}-{})", number(self.median()), number(*least), number(*most))
            }
            (Some(only), _) => format!("**{}**", number(*only)),
            _ => "-".to_owned(),
        }
    }
}

/// Three digits that count, thousands set apart.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() {
        return "-".to_owned();
    }
    if value.is_infinite() {
        return "∞".to_owned();
    }
    if size < 0.0995 {
        return format!("{value:.3}");
    }
    if size < 9.95 {
        return format!("{value:.2}");
    }
    if size < 99.5 {
        return format!("{value:.1}");
    }
    let digits = format!("{size:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if value < 0.0 { format!("-{grouped}") } else { grouped }
}

/// What is asked of a figure.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    /// What the figure is, as in `times Postfix`.
    pub(crate) what: &'static str,
    pub(crate) bound: Bound,
    pub(crate) got: f64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    pub(crate) fn at_least(bound: f64, what: &'static str, got: f64) -> Self {
        Self { what, bound: Bound::AtLeast(bound), got }
    }

    pub(crate) fn at_most(bound: f64, what: &'static str, got: f64) -> Self {
        Self { what, bound: Bound::AtMost(bound), got }
    }

    /// None when it could not be measured. A wait without an end was measured, and is missed.
    fn met(&self) -> Option<bool> {
        match self.bound {
            _ if self.got.is_nan() => None,
            Bound::AtLeast(bound) => Some(self.got >= bound),
            Bound::AtMost(bound) => Some(self.got <= bound),
        }
    }

    fn show(&self) -> String {
        let mark = match self.met() {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "not measured",
        };
        let (word, bound) = match self.bound {
            Bound::AtLeast(bound) => ("at least", bound),
            Bound::AtMost(bound) => ("at most", bound),
        };
        format!("- {mark}: {} {}; asked for: {word} {}", number(self.got), self.what, number(bound))
    }
}

/// One job's part of the page.
#[derive(Clone, Debug, Default)]
pub(crate) struct Section {
    pub(crate) job: &'static str,
    pub(crate) title: &'static str,
    /// How it was measured, in sentences.
    pub(crate) how: String,
    /// When, with which command, how busy the machine was with other things.
    pub(crate) conditions: String,
    pub(crate) head: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<String>>,
    pub(crate) goals: Vec<Goal>,
}

impl Section {
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("{}\n### {}\n\n{}\n\n", mark(self.job), self.title, self.how);
        let _ = writeln!(text, "| {} |\n|{}", self.head.join(" | "), "---|".repeat(self.head.len()));
        for row in &self.rows {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
        text.push('\n');
        for goal in &self.goals {
            let _ = writeln!(text, "{}", goal.show());
        }
        if !self.goals.is_empty() {
            text.push('\n');
        }
        let _ = writeln!(text, "{}", self.conditions);
        text
    }
}

fn mark(job: &str) -> String {
    format!("<!-- job: {job} -->")
}

/// The page with these sections in place of what it had for the same jobs; other jobs' stay. `order` names all jobs as they should
/// follow one another. A page without the marks gets them at its end.
pub(crate) fn merge(page: &str, sections: &[(&str, String)], order: &[&str]) -> String {
    let (before, rest) = page.split_once(BEGIN).unwrap_or((page, END));
    let (old, after) = rest.split_once(END).unwrap_or((rest, ""));
    let mut parts: Vec<(String, String)> = Vec::new();
    for part in old.split("<!-- job: ").skip(1) {
        let job = part.split(" -->").next().unwrap_or_default().to_owned();
        parts.push((job, format!("<!-- job: {}\n", part.trim_end())));
    }
    for (job, text) in sections {
        parts.retain(|(known, _)| known != job);
        parts.push(((*job).to_owned(), text.clone()));
    }
    parts.sort_by_key(|(job, _)| order.iter().position(|known| known == job).unwrap_or(order.len()));
    let tables: Vec<String> = parts.into_iter().map(|(_, text)| text).collect();
    let gap = if before.is_empty() || before.ends_with('\n') { "" } else { "\n\n" };
    let end = if after.is_empty() { "\n" } else { after };
    format!("{before}{gap}{BEGIN}\n{}{END}{end}", tables.join("\n"))
}

#[cfg(test)]
mod tests;
