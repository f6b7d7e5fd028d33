//! Curves over time as inline SVG, with the attack shaded behind them.

use std::fmt::Write;

use super::escape;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 26.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 30.0;
/// Colours and dashes that tell lines apart, also without colours; as many as the style sheet has.
const STYLES: usize = 8;

/// How values become heights.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Scale {
    /// From zero, up to at least this.
    Linear(f64),
    /// From and to powers of ten around the values.
    Logarithmic,
}

/// A curve: a value a second, none where nothing was measured.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    pub name: String,
    pub values: Vec<Option<f64>>,
}

/// Curves with one axis.
pub struct Chart<'a> {
    /// Unique within the page.
    pub id: &'a str,
    pub title: &'a str,
    /// What a reader who cannot see it should know.
    pub summary: String,
    pub lines: Vec<Line>,
    pub scale: Scale,
    /// A value as it stands at the axis.
    pub write: fn(f64) -> String,
    /// Seconds under attack, and with faults.
    pub attacked: &'a [(usize, usize)],
    pub faulty: &'a [(usize, usize)],
}

impl Chart<'_> {
    /// The figure: caption, legend and picture.
    pub fn draw(&self) -> String {
        let seconds = self.lines.iter().map(|line| line.values.len()).max().unwrap_or(0).max(1);
        let (low, high, ticks) = self.axis();
        let x = |second: f64| LEFT + (WIDTH - LEFT - RIGHT) * second / seconds as f64;
        let height = |value: f64| {
            let share = match self.scale {
                Scale::Linear(_) => value / high,
                Scale::Logarithmic => (value.max(low).log10() - low.log10()) / (high.log10() - low.log10()),
            };
            TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - share.clamp(0.0, 1.0))
        };
        let mut out = format!("<figure class=\"chart\">\n<figcaption>{}</figcaption>\n", escape(self.title));
        self.legend(&mut out);
        let _ = writeln!(
            out,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"{0}-t {0}-d\"><title id=\"{0}-t\">{1}</title>\
             <desc id=\"{0}-d\">{2}</desc>",
            self.id,
            escape(self.title),
            escape(&format!("{}{}", self.summary, self.spans()))
        );
        for (spans, class) in [(self.attacked, "attack"), (self.faulty, "fault")] {
            for (from, to) in spans {
                let (left, right) = (x(*from as f64), x((*to).min(seconds) as f64));
                let (width, tall) = ((right - left).max(0.0), HEIGHT - TOP - BOTTOM);
                // Faults stand at the foot, so that both are seen where they meet.
                let (top, tall) = if class == "fault" { (TOP + tall - 8.0, 8.0) } else { (TOP, tall) };
                let _ = writeln!(
                    out,
                    "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{tall:.1}\"/>"
                );
            }
        }
        for tick in ticks {
            let (y, right) = (height(tick), WIDTH - RIGHT);
            let _ = writeln!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                escape(&(self.write)(tick))
            );
        }
        let step = nice(seconds as f64 / 8.0).max(1.0) as usize;
        for second in (0..=seconds).step_by(step) {
            let (at, y) = (x(second as f64), HEIGHT - 10.0);
            let _ = writeln!(out, "<text x=\"{at:.1}\" y=\"{y}\" text-anchor=\"middle\">{second} s</text>");
        }
        for (index, line) in self.lines.iter().enumerate() {
            let path = path(&line.values, &x, &height);
            let _ = writeln!(out, "<path class=\"line s{}\" d=\"{path}\"/>", index % STYLES);
        }
        out.push_str("</svg>\n</figure>\n");
        out
    }

    /// What is shaded, in words.
    fn spans(&self) -> String {
        let mut out = String::new();
        for (spans, what) in [(self.attacked, "Attack"), (self.faulty, "Faults")] {
            let all: Vec<String> = spans.iter().map(|(from, to)| format!("{from} s to {to} s")).collect();
            if !all.is_empty() {
                let _ = write!(out, " {what} from {}.", all.join(", "));
            }
        }
        out
    }

    fn legend(&self, out: &mut String) {
        out.push_str("<ul class=\"legend\" aria-hidden=\"true\">");
        for (index, line) in self.lines.iter().enumerate() {
            let _ = write!(
                out,
                "<li><svg viewBox=\"0 0 30 8\"><path class=\"line s{}\" d=\"M0 4H30\"/></svg>{}</li>",
                index % STYLES,
                escape(&line.name)
            );
        }
        if !self.attacked.is_empty() {
            out.push_str(
                "<li><svg viewBox=\"0 0 30 8\"><rect class=\"attack\" width=\"30\" height=\"8\"/></svg>attack</li>",
            );
        }
        if !self.faulty.is_empty() {
            out.push_str(
                "<li><svg viewBox=\"0 0 30 8\"><rect class=\"fault\" width=\"30\" height=\"8\"/></svg>faults</li>",
            );
        }
        out.push_str("</ul>\n");
    }

    /// The axis from and to, and where it has ticks.
    fn axis(&self) -> (f64, f64, Vec<f64>) {
        let values = || self.lines.iter().flat_map(|line| line.values.iter().flatten().copied());
        let most = values().fold(0.0, f64::max);
        match self.scale {
            Scale::Linear(least) => {
                let high = if most <= least && least > 0.0 { least } else { most.max(1e-9) };
                let step = nice(high / 4.0);
                let top = if most <= least && least > 0.0 { least } else { (high / step).ceil() * step };
                let ticks = (0..=8).map(|n| f64::from(n) * step).filter(|tick| *tick <= top * 1.001).collect();
                (0.0, top, ticks)
            }
            Scale::Logarithmic => {
                let least = values().filter(|v| *v > 0.0).fold(f64::INFINITY, f64::min);
                let low = if least.is_finite() { 10f64.powf(least.log10().floor()) } else { 1e-4 };
                let high = 10f64.powf(most.max(low * 10.0).log10().ceil()).max(low * 10.0);
                let decades = (high / low).log10().round() as i32;
                (low, high, (0..=decades).map(|n| low * 10f64.powi(n)).collect())
            }
        }
    }
}

/// 1, 2 or 5 times a power of ten, at least so much.
fn nice(least: f64) -> f64 {
    if least <= 0.0 || !least.is_finite() {
        return 1.0;
    }
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|n| n * power).into_iter().find(|n| *n >= least * 0.999).unwrap_or(10.0 * power)
}

fn path(values: &[Option<f64>], x: &impl Fn(f64) -> f64, height: &impl Fn(f64) -> f64) -> String {
    let mut out = String::new();
    let mut drawing = false;
    for (second, value) in values.iter().enumerate() {
        match value {
            Some(value) => {
                let (at, y) = (x(second as f64 + 0.5), height(*value));
                let _ = write!(out, "{}{at:.1} {y:.1}", if drawing { "L" } else { "M" });
                // A point alone is seen as a dot.
                if !drawing && !matches!(values.get(second + 1), Some(Some(_))) {
                    out.push_str("h0.1");
                }
                drawing = true;
            }
            None => drawing = false,
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!([0.3, 1.0, 1.1, 40.0].map(nice), [0.5, 1.0, 2.0, 50.0]);
        let line = |values: Vec<f64>| Line { name: "a <b>".into(), values: values.into_iter().map(Some).collect() };
        let chart = |lines, scale| Chart {
            id: "c",
            title: "A & B",
            summary: String::new(),
            lines,
            scale,
            write: |v| v.to_string(),
            attacked: &[(1, 2)],
            faulty: &[],
        };
        assert_eq!(chart(vec![line(vec![0.5, 1.0])], Scale::Linear(1.0)).axis().1, 1.0);
        assert_eq!(chart(vec![line(vec![830.0])], Scale::Linear(0.0)).axis().1, 1000.0);
        let (low, high, ticks) = chart(vec![line(vec![0.002, 3.0])], Scale::Logarithmic).axis();
        assert!((low - 0.001).abs() < 1e-9 && (high - 10.0).abs() < 1e-6 && ticks.len() == 5);
        let drawn = chart(vec![line(vec![1.0, 2.0])], Scale::Linear(0.0)).draw();
        assert!(drawn.contains("a &lt;b&gt;") && drawn.contains("A &amp; B") && drawn.contains("class=\"attack\""));
        assert!(drawn.contains("Attack from 1 s to 2 s.</desc>"), "{drawn}");
        assert!(chart(Vec::new(), Scale::Logarithmic).draw().contains("</svg>"));
    }
}
