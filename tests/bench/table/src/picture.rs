//! Bars of each case, as a ratio to the best peer: the median of all runs, and how far Doorway's moves.

use std::fmt::Write;

use crate::caption::CAPTIONS;
use crate::record::Run;
use crate::spread::Summary;

const WIDTH: f64 = 820.0;
const LABEL: f64 = 400.0;
const BAR: f64 = 300.0;
const LINE: f64 = 18.0;

/// Draws what more than one run says.
pub fn draw(runs: &[Run]) -> String {
    let mut body = String::new();
    let mut y = 46.0;
    for caption in CAPTIONS {
        let summary = Summary::of(caption, runs);
        let Some(own) = summary.best().filter(|spread| spread.runs() > 1) else { continue };
        let _ = write!(body, "<text x=\"10\" y=\"{:.0}\" class=\"t\">{}</text>", y + 4.0, caption.title);
        let _ = write!(
            body,
            "<text x=\"10\" y=\"{:.0}\" class=\"u\">{}, {} runs</text>",
            y + 18.0,
            caption.unit,
            own.runs()
        );
        let mut bars = vec![("Doorway", own.median())];
        bars.extend(summary.ratios.iter().map(|(name, spread)| (*name, own.median() / spread.median())));
        bars.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let most = bars.iter().map(|(_, ratio)| *ratio).fold(own.highest(), f64::max);
        let x = |ratio: f64| LABEL + (ratio / most * BAR).max(1.0);
        for (name, ratio) in bars {
            let is_own = name == "Doorway";
            let _ = write!(
                body,
                "<rect x=\"{LABEL}\" y=\"{:.0}\" width=\"{:.0}\" height=\"13\" class=\"{}\"/>\
                 <text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{name} {ratio:.2}</text>",
                y - 7.0,
                x(ratio) - LABEL,
                if is_own { "d" } else { "p" },
                LABEL - 6.0,
                y + 4.0
            );
            if is_own {
                let (lowest, highest) = (own.lowest(), own.highest());
                let _ = write!(
                    body,
                    "<path d=\"M{:.0} {y:.0}H{:.0}\" class=\"w\"/>\
                     <text x=\"{:.0}\" y=\"{:.0}\" class=\"u\">{lowest:.2}–{highest:.2}</text>",
                    x(lowest),
                    x(highest),
                    x(highest.max(ratio)) + 5.0,
                    y + 4.0
                );
            }
            y += LINE;
        }
        y += if summary.ratios.len() < 2 { 22.0 } else { 16.0 };
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y:.0}\" font-family=\"system-ui,sans-serif\" font-size=\"11\">\
         <style>.t{{font-weight:600}}.u{{fill:#777}}.d{{fill:#d9480f}}.p{{fill:#adb5bd}}.w{{stroke:#333;stroke-width:2}}text{{fill:#333}}</style>\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/><text x=\"10\" y=\"20\" font-size=\"15\">Side by side, ratio to the best peer: the median of all runs, lowest and highest</text>{body}</svg>\n"
    )
}
