//! Numbers and how they are shown. Measures nothing.

use std::{fmt::Write as _, fs};

use serde_json::{Value, json};

/// The value below which this share of all lies; 0 when there are none.
pub(super) fn percentile(values: &[u64], percent: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    let place = (values.len() as f64 * percent / 100.0).ceil() as usize;
    values.get(place.clamp(1, values.len().max(1)) - 1).map_or(0.0, |value| *value as f64)
}

/// Three places are more than is meant.
pub(super) fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

/// What figures depend on.
pub(super) fn machine() -> Value {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    json!({
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "cpu": model.trim_start_matches(['\t', ' ', ':']),
        "kernel": kernel.trim(),
        "load_before": load.split(' ').next(),
    })
}

/// One line a figure: scenario, name, value.
#[must_use]
pub fn table(report: &Value) -> String {
    let mut text = String::new();
    for (scenario, figures) in report.as_object().into_iter().flatten() {
        let _ = writeln!(text, "\n{scenario}");
        for (name, figure) in figures.as_object().into_iter().flatten() {
            let shown = match figure.as_object() {
                Some(parts) => {
                    parts.iter().map(|(part, value)| format!("{part} {value}")).collect::<Vec<_>>().join("   ")
                }
                None => figure.as_str().map_or_else(|| figure.to_string(), ToOwned::to_owned),
            };
            let _ = writeln!(text, "  {name:<24} {shown}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(
            (percentile(&values, 50.0), percentile(&values, 99.0), percentile(&values, 100.0)),
            (50.0, 99.0, 100.0)
        );
        assert!(percentile(&[], 99.0).abs() < f64::EPSILON);
    }
}
