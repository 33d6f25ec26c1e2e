//! One run over time as a picture: calls a second above, how long they took below. Geometry only, in the units of an SVG's view
//! box; the template draws it. Pure.

use crate::record::{Course, Second};

/// The whole picture.
pub(super) const WIDTH: f64 = 640.0;
/// Its height.
pub(super) const HEIGHT: f64 = 220.0;

/// Room to the left and to the right of the panels, for the scales.
const LEFT: f64 = 56.0;
const RIGHT: f64 = 8.0;

/// The panels, from their tops to their bottoms.
const CALLS: [f64; 2] = [18.0, 100.0];
const TIMES: [f64; 2] = [118.0, 200.0];

/// What is shown of how long calls take: from a millisecond to a minute and a half.
const DECADES: [f64; 2] = [0.0, 5.0];

/// No bar is narrower than that part of a second.
const LEAST: f64 = 0.1;

/// What ended in less than that part of a second says nothing of how many end in one.
const HALF: f64 = 0.5;

/// A picture.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chart {
    /// Calls answered, a bar a second.
    pub(super) answered: Vec<Bar>,
    /// Calls failed, on top of them.
    pub(super) failed: Vec<Bar>,
    /// 99 % of the calls of each second, points of a line.
    pub(super) p99: String,
    /// The slowest.
    pub(super) slowest: String,
    /// What was done.
    pub(super) phases: Vec<Mark>,
    /// The scale of calls, of times, and of seconds.
    pub(super) scales: Vec<Tick>,
}

/// A bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bar {
    /// Left edge.
    pub(super) x: f64,
    /// Upper edge.
    pub(super) y: f64,
    /// Width.
    pub(super) width: f64,
    /// Height.
    pub(super) height: f64,
}

/// A moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mark {
    /// Where.
    pub(super) x: f64,
    /// What was done.
    pub(super) name: String,
}

/// A word on a scale.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    /// Where its line begins.
    pub(super) x: f64,
    /// At which height.
    pub(super) y: f64,
    /// Whether it is on the scale of seconds.
    pub(super) below: bool,
    /// The word.
    pub(super) text: String,
}

impl Chart {
    /// The picture of `course`, the course of a run that took so long; `None` if no call ended.
    #[must_use]
    pub(super) fn of(course: &Course, elapsed_ns: u64) -> Option<Self> {
        let last = course.seconds.last()?.at_s + 1;
        // The run may end within its last second. What is left of that one is as wide as it is long.
        let part = |it: &Second| (number(elapsed_ns) / 1e9 - number(it.at_s)).clamp(LEAST, 1.0);
        let rate = |it: &Second, calls: u64| match part(it) {
            part if part < HALF => number(calls),
            part => number(calls) / part,
        };
        let rates = course.seconds.iter().map(|it| rate(it, it.answered + it.failed));
        let most = rates.fold(1.0, f64::max);
        let step = (WIDTH - LEFT - RIGHT) / number(last);
        let x = |second: f64| LEFT + second * step;
        let height = |it: &Second, calls: u64| (CALLS[1] - CALLS[0]) * rate(it, calls) / most;
        let bar = |it: &Second, above: u64, calls: u64| Bar {
            x: x(number(it.at_s)),
            y: CALLS[1] - height(it, above + calls),
            width: (step - 1.0).max(step * 0.8) * part(it),
            height: height(it, calls),
        };
        let line = |of: fn(&Second) -> u64| {
            let point = |it: &Second| format!("{:.1},{:.1}", x(number(it.at_s) + 0.5), depth(of(it)));
            course.seconds.iter().map(point).collect::<Vec<_>>().join(" ")
        };
        let phases = course.phases.iter().map(|phase| Mark {
            x: x(number(phase.at_ns) / 1e9),
            name: phase.name.clone(),
        });
        Some(Self {
            answered: course.seconds.iter().map(|it| bar(it, 0, it.answered)).collect(),
            failed: course
                .seconds
                .iter()
                .filter(|it| it.failed > 0)
                .map(|it| bar(it, it.answered, it.failed))
                .collect(),
            p99: line(|it| it.p99_ns),
            slowest: line(|it| it.max_ns),
            phases: phases.filter(|mark| mark.x <= WIDTH - RIGHT).collect(),
            scales: scales(most, last, step),
        })
    }
}

/// Where on the scale of times a time is: the longer the higher.
fn depth(nanoseconds: u64) -> f64 {
    let decades = (number(nanoseconds.max(1)) / 1e6).log10().clamp(DECADES[0], DECADES[1]);
    TIMES[1] - (TIMES[1] - TIMES[0]) * (decades - DECADES[0]) / (DECADES[1] - DECADES[0])
}

fn scales(most: f64, last: u64, step: f64) -> Vec<Tick> {
    let on = |y: f64, text: &str| Tick {
        x: LEFT,
        y,
        below: false,
        text: text.to_owned(),
    };
    let mut ticks = vec![on(CALLS[0], &format!("{most:.0}/s")), on(CALLS[1], "0")];
    for (ns, text) in [
        (1_000_000, "1 ms"),
        (100_000_000, "0.1 s"),
        (1_000_000_000, "1 s"),
        (10_000_000_000, "10 s"),
    ] {
        ticks.push(on(depth(ns), text));
    }
    // Ten words at most.
    let every = last.div_ceil(10).max(1);
    let seconds = (0..=last).step_by(usize::try_from(every).unwrap_or(usize::MAX));
    ticks.extend(seconds.map(|second| Tick {
        x: LEFT + number(second) * step,
        y: TIMES[1],
        below: true,
        text: format!("{second} s"),
    }));
    ticks
}

#[expect(clippy::cast_precision_loss, reason = "a picture is no more exact than that")]
fn number(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Phase;

    fn second(at_s: u64, answered: u64, failed: u64, max_ms: u64) -> Second {
        Second {
            at_s,
            answered,
            failed,
            p50_ns: 10_000_000,
            p99_ns: 20_000_000,
            max_ns: max_ms * 1_000_000,
        }
    }

    fn course(seconds: Vec<Second>) -> Course {
        Course {
            phases: vec![Phase {
                name: "kill pod-1".to_owned(),
                at_ns: 1_000_000_000,
            }],
            seconds,
            harm: None,
            spread: None,
        }
    }

    #[test]
    fn bars_stand_on_the_same_ground_and_failures_on_top_of_answers() {
        let chart = Chart::of(
            &course(vec![second(0, 300, 0, 15), second(1, 100, 100, 2_000)]),
            2_000_000_000,
        )
        .unwrap();
        let [full, half] = [chart.answered[0], chart.answered[1]];
        assert!(
            (full.height - 82.0).abs() < 1e-9 && (full.y - 18.0).abs() < 1e-9,
            "{full:?}"
        );
        assert!((half.y + half.height - CALLS[1]).abs() < 1e-9);
        let failed = chart.failed[0];
        assert!((failed.y + failed.height - half.y).abs() < 1e-9, "{failed:?}");
        assert!((chart.phases[0].x - half.x).abs() < 1e-9);
    }

    #[test]
    fn everything_is_within_the_picture_whatever_the_times() {
        let far = course(vec![second(0, 1, 0, 0), second(90, 0, u64::MAX / 4, 9_000_000)]);
        let chart = Chart::of(&far, u64::MAX).unwrap();
        for bar in chart.answered.iter().chain(&chart.failed) {
            assert!(bar.x >= LEFT && bar.x + bar.width <= WIDTH && bar.y >= 0.0, "{bar:?}");
        }
        for point in chart.slowest.split(' ').map(|point| point.split_once(',').unwrap()) {
            let y: f64 = point.1.parse().unwrap();
            assert!((TIMES[0]..=TIMES[1]).contains(&y), "{point:?}");
        }
        assert!(chart.scales.iter().filter(|tick| tick.below).count() <= 11);
    }

    #[test]
    fn a_run_that_ends_within_a_second_does_not_look_as_if_it_slowed_down() {
        let whole_and_a_part = |elapsed_ms: u64, calls| {
            let course = course(vec![second(0, 1_000, 0, 15), second(1, calls, 0, 15)]);
            let bars = Chart::of(&course, elapsed_ms * 1_000_000).unwrap().answered;
            (bars[1].height / bars[0].height, bars[1].width / bars[0].width)
        };
        let (height, width) = whole_and_a_part(1_600, 600);
        assert!((height - 1.0).abs() < 1e-9 && (width - 0.6).abs() < 1e-9);
        // Those that hung until the run was stopped end all at once.
        let (height, width) = whole_and_a_part(1_001, 500);
        assert!((height - 0.5).abs() < 1e-9 && (width - LEAST).abs() < 1e-9);
    }

    #[test]
    fn nothing_is_no_picture() {
        assert_eq!(Chart::of(&course(vec![]), 0), None);
    }
}
