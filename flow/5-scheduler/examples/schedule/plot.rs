//! The share of each provider's mail that was taken, over time, as a picture that reads on light and on dark paper.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use crate::simulation::Seen;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 40.0;
const RIGHT: f64 = 190.0;
const BOTTOM: f64 = 48.0;
const COLOURS: [&str; 8] = ["#4477aa", "#228833", "#aa7700", "#cc6677", "#7755cc", "#009988", "#bb5500", "#888888"];
const DASHES: [&str; 3] = ["", "6 3", "2 3"];

/// `% of mail taken` against minutes, the end in minutes being where the last drew level.
pub(crate) fn draw(seen: &BTreeMap<Arc<str>, Seen>) -> String {
    let shown: Vec<(&Arc<str>, &Seen)> = seen.iter().filter(|(_, seen)| seen.delivered > 0).collect();
    let minutes = shown.iter().map(|(_, seen)| seen.drained / 60_000 + 1).max().unwrap_or(1) as f64;
    let x = |minute: f64| LEFT + minute / minutes * WIDTH;
    let y = |share: f64| TOP + (1.0 - share) * HEIGHT;
    let (whole_width, whole_height) = (LEFT + WIDTH + RIGHT, TOP + HEIGHT + BOTTOM);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {whole_width} {whole_height}\" role=\"img\" \
         aria-label=\"Share of each provider's mail taken, over time\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <style>text{{fill:#222}}.axis{{stroke:#888;fill:none}}@media(prefers-color-scheme:dark){{text{{fill:#ddd}}}}</style>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"14\">Share of the mail taken, by provider, on a virtual clock</text>\n"
    );
    for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let (at, end) = (y(share), LEFT + WIDTH);
        let _ = writeln!(
            out,
            "<path class=\"axis\" stroke-opacity=\".35\" d=\"M{LEFT} {at:.1}H{end}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{:.0} %</text>",
            LEFT - 6.0,
            at + 4.0,
            share * 100.0
        );
    }
    let step = (minutes / 6.0 / 30.0).ceil().max(1.0) * 30.0;
    let mut minute = 0.0;
    while minute <= minutes {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{minute:.0} min</text>",
            x(minute),
            TOP + HEIGHT + 20.0
        );
        minute += step;
    }
    for (n, (name, seen)) in shown.iter().enumerate() {
        let (colour, dash) = (COLOURS[n % COLOURS.len()], DASHES[n / COLOURS.len() % DASHES.len()]);
        let mut path = format!("M{:.1} {:.1}", x(0.0), y(0.0));
        let (mut taken, all) = (0, seen.recipients.max(1) as f64);
        for (minute, count) in seen.by_minute.iter().enumerate() {
            taken += count;
            let _ = write!(path, "L{:.1} {:.1}", x(minute as f64 + 1.0), y(taken as f64 / all));
        }
        let _ = writeln!(
            out,
            "<path fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\" d=\"{path}\"/>"
        );
        let (at, from) = (TOP + 10.0 + 22.0 * n as f64, LEFT + WIDTH + 14.0);
        let _ = writeln!(
            out,
            "<path stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\" d=\"M{from:.1} {at:.1}h24\"/><text x=\"{:.1}\" y=\"{:.1}\">{name} ({})</text>",
            from + 30.0,
            at + 4.0,
            seen.recipients
        );
    }
    out.push_str("</svg>\n");
    out
}
