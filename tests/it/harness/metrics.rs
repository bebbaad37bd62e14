//! What `/metrics` says.

use std::time::{Duration, Instant};

use super::door::{Door, PATIENCE};
use super::wire;

impl Door {
    /// The value of a line of `/metrics`, by its whole name, labels and all, without `doorway_`.
    pub async fn metric(&self, name: &str) -> f64 {
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let answer = wire::exchange(self.admin(), request).await;
        let prefix = format!("doorway_{name} ");
        let line = answer.lines().find_map(|line| line.strip_prefix(&prefix));
        line.unwrap_or_else(|| panic!("no {name} in:\n{answer}")).parse().expect("a number")
    }

    /// Waits until a number has come to `value`.
    pub async fn wait_for_metric(&self, name: &str, value: f64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let is = self.metric(name).await;
            if is == value {
                return;
            }
            assert!(Instant::now() < deadline, "{name} is {is}, and never came to {value}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
