//! Base scores of CVSS vectors (first.org/cvss). Pure. Metrics of threat and environment in a vector are not about the package and do
//! not count.

use std::collections::HashMap;

type Metrics<'a> = HashMap<&'a str, &'a str>;

/// Computes the base score of a vector of OSV's type `CVSS_V2`, `CVSS_V3` or `CVSS_V4`; `None` for another one, or where a metric
/// is missing or has a value that it cannot have.
pub(super) fn base_score(kind: &str, vector: &str) -> Option<f64> {
    let metrics: Metrics<'_> = vector
        .split('/')
        .filter_map(|metric| metric.split_once(':'))
        .collect();
    match kind {
        "CVSS_V2" => version2(&metrics),
        "CVSS_V3" => version3(&metrics),
        "CVSS_V4" => version4(&metrics),
        _ => None,
    }
}

/// CVSS 4.0, section 8.2: the score of the group of vectors that this one is in, less the mean of how far it is, in each of five
/// respects, on the way from the worst vector of its group to the next group.
fn version4(metrics: &Metrics<'_>) -> Option<f64> {
    let levels = |names: [&str; 3], values: &str| {
        let level = |name| {
            let value: &str = metrics.get(name)?;
            let known = values.char_indices().zip(0..);
            let mut found = known.filter(|((at, c), _)| values[*at..*at + c.len_utf8()] == *value);
            found.next().map(|(_, level)| level)
        };
        Some([level(names[0])?, level(names[1])?, level(names[2])?])
    };
    let access = levels(["AV", "AV", "AV"], "NALP")?[0];
    let privileges = levels(["PR", "PR", "PR"], "NLH")?[0];
    let interaction = levels(["UI", "UI", "UI"], "NPA")?[0];
    let reach = [access, privileges, interaction];
    let complexity = levels(["AC", "AC", "AC"], "LH")?[0];
    let requirements = levels(["AT", "AT", "AT"], "NP")?[0];
    let effort = [complexity, requirements, 0];
    let own = levels(["VC", "VI", "VA"], "HLN")?;
    let others = levels(["SC", "SI", "SA"], "HLN")?;
    if own == [2; 3] && others == [2; 3] {
        return Some(0.0);
    }
    let group = Group {
        reach: match reach {
            [0, 0, 0] => 0,
            [3, ..] => 2,
            reach if reach.contains(&0) => 1,
            _ => 2,
        },
        effort: usize::from(effort != [0; 3]),
        impact: match own {
            [0, 0, _] => 0,
            own if own.contains(&0) => 2,
            _ => 4,
        },
        others: usize::from(!others.contains(&0)),
    };
    let score = group.score()?;
    let ways = [
        (group.next_reach(), share(reach, REACH[group.reach])),
        (group.next_effort(), share(effort, EFFORT[group.effort])),
        (group.next_impact(), share(own, IMPACT[group.impact / 2])),
        (group.next_others(), share(others, OTHERS[group.others])),
    ];
    // Exploitation in the wild is the fifth: a base vector is always at its worst there, and there is always a next group.
    let mut count = 1.0;
    let mut sum = 0.0;
    for (next, share) in ways {
        if let Some(next) = next {
            count += 1.0;
            sum += (score - next) * share?;
        }
    }
    let score: f64 = (score - sum / count).clamp(0.0, 10.0);
    Some(((score + 1e-6) * 10.0).round() / 10.0)
}

/// The worst vectors of a group in one respect, and the number of steps to the next group.
type Worst = (&'static [[u8; 3]], f64);

const REACH: [Worst; 3] = [
    (&[[0, 0, 0]], 1.0),
    (&[[1, 0, 0], [0, 1, 0], [0, 0, 1]], 4.0),
    (&[[3, 0, 0], [1, 1, 1]], 5.0),
];
const EFFORT: [Worst; 2] = [(&[[0, 0, 0]], 1.0), (&[[1, 0, 0], [0, 1, 0]], 2.0)];
const IMPACT: [Worst; 3] = [
    (&[[0, 0, 0]], 7.0),
    (&[[1, 0, 0], [0, 1, 0]], 8.0),
    (&[[1, 1, 1]], 10.0),
];
const OTHERS: [Worst; 2] = [(&[[0, 0, 0]], 5.0), (&[[1, 1, 1]], 4.0)];

/// How far a vector is from the first of the worst ones that it is not worse than.
fn share(levels: [u8; 3], (worst, steps): Worst) -> Option<f64> {
    let distance = |from: &[u8; 3]| {
        let mut sum = 0;
        for (level, from) in levels.iter().zip(from) {
            sum += level.checked_sub(*from)?;
        }
        Some(f64::from(sum))
    };
    worst
        .iter()
        .find_map(distance)
        .map(|distance| distance / steps)
}

/// A group of vectors that experts scored together (a "macro vector").
#[derive(Clone, Copy)]
struct Group {
    reach: usize,
    effort: usize,
    /// Both of the third and the sixth respect: 00, 01, 10, 11, 21.
    impact: usize,
    others: usize,
}

/// Scores of the groups: by impact and others, then by reach and effort.
const SCORES: [[f64; 6]; 10] = [
    [10.0, 9.5, 9.4, 9.0, 8.6, 7.3],
    [9.3, 9.2, 8.7, 7.7, 7.0, 5.4],
    [9.6, 9.1, 8.9, 7.7, 7.4, 5.5],
    [9.0, 8.1, 7.5, 6.6, 5.4, 4.3],
    [9.3, 9.2, 8.6, 7.4, 7.2, 6.1],
    [8.8, 8.4, 7.2, 6.1, 5.3, 4.6],
    [9.2, 8.2, 7.6, 5.9, 5.7, 5.1],
    [8.0, 7.0, 5.7, 5.2, 3.6, 1.8],
    [7.9, 7.1, 6.5, 5.8, 4.7, 2.4],
    [6.9, 6.3, 5.3, 2.3, 2.4, 1.0],
];

impl Group {
    fn score(self) -> Option<f64> {
        let is_there = self.reach < 3 && self.effort < 2 && self.others < 2;
        let row = SCORES.get(self.impact * 2 + self.others)?;
        is_there.then(|| row[self.reach * 2 + self.effort])
    }

    fn next_reach(mut self) -> Option<f64> {
        self.reach += 1;
        self.score()
    }

    fn next_effort(mut self) -> Option<f64> {
        self.effort += 1;
        self.score()
    }

    fn next_impact(self) -> Option<f64> {
        let to = |impact| Self { impact, ..self }.score();
        match self.impact {
            0 => Some(to(1)?.max(to(2)?)),
            1 | 2 => to(3),
            3 => to(4),
            _ => None,
        }
    }

    fn next_others(mut self) -> Option<f64> {
        self.others += 1;
        self.score()
    }
}

/// CVSS 3.0 and 3.1, section 7.1.
fn version3(metrics: &Metrics<'_>) -> Option<f64> {
    let is_changed = match *metrics.get("S")? {
        "C" => true,
        "U" => false,
        _ => return None,
    };
    let vector = weight(
        metrics,
        "AV",
        &[("N", 0.85), ("A", 0.62), ("L", 0.55), ("P", 0.2)],
    )?;
    let complexity = weight(metrics, "AC", &[("L", 0.77), ("H", 0.44)])?;
    let (low, high) = if is_changed {
        (0.68, 0.5)
    } else {
        (0.62, 0.27)
    };
    let privileges = weight(metrics, "PR", &[("N", 0.85), ("L", low), ("H", high)])?;
    let interaction = weight(metrics, "UI", &[("N", 0.85), ("R", 0.62)])?;
    let impact = |name| weight(metrics, name, &[("H", 0.56), ("L", 0.22), ("N", 0.0)]);
    let kept = (1.0 - impact("C")?) * (1.0 - impact("I")?) * (1.0 - impact("A")?);
    let sub_score: f64 = 1.0 - kept;
    let impact = if is_changed {
        7.52 * (sub_score - 0.029) - 3.25 * (sub_score - 0.02).powi(15)
    } else {
        6.42 * sub_score
    };
    if impact <= 0.0 {
        return Some(0.0);
    }
    let exploitability = 8.22 * vector * complexity * privileges * interaction;
    let sum = impact + exploitability;
    let scope = if is_changed { 1.08 } else { 1.0 };
    Some(round_up((scope * sum).min(10.0)))
}

/// CVSS 2.0, section 3.2.1.
fn version2(metrics: &Metrics<'_>) -> Option<f64> {
    let vector = weight(metrics, "AV", &[("L", 0.395), ("A", 0.646), ("N", 1.0)])?;
    let complexity = weight(metrics, "AC", &[("H", 0.35), ("M", 0.61), ("L", 0.71)])?;
    let authentication = weight(metrics, "Au", &[("M", 0.45), ("S", 0.56), ("N", 0.704)])?;
    let impact = |name| weight(metrics, name, &[("N", 0.0), ("P", 0.275), ("C", 0.66)]);
    let kept = (1.0 - impact("C")?) * (1.0 - impact("I")?) * (1.0 - impact("A")?);
    let impact = 10.41 * (1.0 - kept);
    let exploitability = 20.0 * vector * complexity * authentication;
    let factor = if impact == 0.0 { 0.0 } else { 1.176 };
    let score: f64 = (0.6 * impact + 0.4 * exploitability - 1.5) * factor;
    Some((score * 10.0).round() / 10.0)
}

fn weight(metrics: &Metrics<'_>, name: &str, weights: &[(&str, f64)]) -> Option<f64> {
    let value = metrics.get(name)?;
    let found = weights.iter().find(|(known, _)| known == value);
    found.map(|(_, weight)| *weight)
}

/// The next tenth upwards, computed so that errors of binary fractions do not count (CVSS 3.1, appendix A).
fn round_up(score: f64) -> f64 {
    let scaled = (score * 100_000.0).round();
    if scaled % 10_000.0 == 0.0 {
        scaled / 100_000.0
    } else {
        ((scaled / 10_000.0).floor() + 1.0) / 10.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_the_specifications_examples() {
        for (vector, expected) in [
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
            ("CVSS:3.0/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", 6.4),
            ("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 7.8),
            ("CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:N/I:N/A:N", 0.0),
            ("CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:N/I:N/A:H/E:P", 5.9),
        ] {
            assert_eq!(base_score("CVSS_V3", vector), Some(expected), "{vector}");
        }
        for (vector, expected) in [
            (
                "AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H",
                10.0,
            ),
            (
                "AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
                9.3,
            ),
            (
                "AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:H/SC:N/SI:N/SA:N/E:P",
                8.7,
            ),
            (
                "AV:L/AC:L/AT:P/PR:L/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
                7.3,
            ),
            (
                "AV:N/AC:L/AT:N/PR:N/UI:A/VC:L/VI:L/VA:N/SC:N/SI:N/SA:N",
                5.1,
            ),
            (
                "AV:P/AC:H/AT:P/PR:H/UI:A/VC:N/VI:N/VA:L/SC:N/SI:N/SA:N",
                1.0,
            ),
            (
                "AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:N/SC:N/SI:N/SA:N",
                0.0,
            ),
        ] {
            let vector = format!("CVSS:4.0/{vector}");
            assert_eq!(base_score("CVSS_V4", &vector), Some(expected), "{vector}");
        }
        for odd in [
            "CVSS:4.0/AV:N/AC:L",
            "CVSS:4.0/AV:/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H",
            "CVSS:4.0/AV:NA/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H",
        ] {
            assert_eq!(base_score("CVSS_V4", odd), None, "{odd}");
        }
        assert_eq!(
            base_score("CVSS_V2", "AV:N/AC:L/Au:N/C:C/I:C/A:C"),
            Some(10.0)
        );
        assert_eq!(
            base_score("CVSS_V2", "AV:N/AC:L/Au:N/C:N/I:N/A:P"),
            Some(5.0)
        );
        assert_eq!(base_score("CVSS_V3", "CVSS:3.1/AV:N"), None);
        assert_eq!(base_score("CVSS_V3", ""), None);
    }
}
