//! The moving picture below the lines: what runs, for how long, how much is done, and where there are
//! partitions, how many are left and how long they may take.
//!
//! The only user of indicatif. One bar draws everything, so that one thread redraws it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::executor::event::Event;
use crate::manifest::UniqueId;

/// At most so many running nodes are named.
const NAMED: usize = 8;

/// How often the picture is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// The picture, and what it shows.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    running: Arc<Mutex<Vec<Running>>>,
    tally: Arc<Mutex<Tally>>,
    /// Partitions that are left, by node.
    left: HashMap<UniqueId, usize>,
    colors: bool,
}

/// The partitions of a run.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    done: usize,
    total: usize,
    since: Option<Instant>,
}

struct Running {
    id: UniqueId,
    label: String,
    since: Instant,
}

impl Progress {
    pub(super) fn new(colors: bool) -> Progress {
        Progress {
            bar: None,
            running: Arc::default(),
            tally: Arc::default(),
            left: HashMap::new(),
            colors,
        }
    }

    /// Runs start and end before their lines are written.
    pub(super) fn before(&mut self, event: &Event) {
        match event {
            Event::RunStarted {
                total, partitions, ..
            } => self.start(*total, partitions),
            Event::RunFinished { .. } | Event::Fatal(_) | Event::CommandFinished { .. } => {
                self.finish();
            }
            Event::NodeFinished { result, .. } => {
                self.with_running(|running| {
                    running.retain(|other| other.id != result.node.unique_id);
                });
                self.settle(&result.node.unique_id);
            }
            Event::NodeFresh { node } => self.settle(node),
            Event::BatchFinished { batch, .. } => {
                let id = &batch.node.unique_id;
                if let Some(parts) = &batch.parts {
                    let ended = parts.built + parts.refused + parts.failed;
                    self.with_running(|running| running.retain(|other| other.id != *id));
                    let left = self.left.entry(id.clone()).or_default();
                    let ended = ended.min(*left);
                    *left -= ended;
                    self.advance(ended, ended);
                }
            }
            _ => {}
        }
    }

    /// Nodes start after their lines are written.
    pub(super) fn after(&mut self, event: &Event) {
        let (node, label) = match event {
            Event::NodeStarted { node, .. } => {
                let name = node.short_relation.as_deref().unwrap_or(&node.name);
                (node, format!("{} {name}", node.resource_type.as_str()))
            }
            Event::BatchStarted { batch } if batch.parts.is_some() => {
                let node = &batch.node;
                let name = node.short_relation.as_deref().unwrap_or(&node.name);
                let label = format!("{} {name}", node.resource_type.as_str());
                let alone = batch.parts.as_ref().is_some_and(|part| part.unit.is_none());
                match alone {
                    true => (node, label),
                    false => (node, format!("{label} {}", batch.label)),
                }
            }
            _ => return,
        };
        self.with_running(|running| {
            running.push(Running {
                id: node.unique_id.clone(),
                label,
                since: Instant::now(),
            });
        });
    }

    /// A node has ended: what is left of its partitions will not be built.
    fn settle(&mut self, node: &UniqueId) {
        match self.left.remove(node) {
            Some(left) => {
                self.advance(left, 0);
                if let Ok(mut tally) = self.tally.lock() {
                    tally.total = tally.total.saturating_sub(left);
                }
            }
            None => self.advance(1, 0),
        }
    }

    fn advance(&self, steps: usize, partitions: usize) {
        if let Ok(mut tally) = self.tally.lock() {
            tally.done += partitions;
        }
        if let Some(bar) = &self.bar {
            bar.inc(steps as u64);
        }
    }

    /// Writes lines while the picture is away.
    pub(super) fn suspend(&self, write: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Takes the picture away.
    pub(super) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.with_running(Vec::clear);
    }

    fn start(&mut self, total: usize, partitions: &[(UniqueId, usize)]) {
        let running = Arc::clone(&self.running);
        let tally = Arc::clone(&self.tally);
        self.left = partitions.iter().cloned().collect();
        let parts: usize = partitions.iter().map(|(_, count)| count).sum();
        if let Ok(mut tally) = tally.lock() {
            *tally = Tally {
                done: 0,
                total: parts,
                since: Some(Instant::now()),
            };
        }
        // Where there are partitions, the bar counts them, and each other node once.
        let total = total.saturating_sub(partitions.len()) + parts;
        let template = match (self.colors, parts) {
            (true, 0) => "{running}{bar:30.green/dim} {pos}/{len}  {elapsed}",
            (false, 0) => "{running}{bar:30} {pos}/{len}  {elapsed}",
            (true, _) => "{running}{bar:30.green/dim} {partitions}",
            (false, _) => "{running}{bar:30} {partitions}",
        };
        let style = ProgressStyle::with_template(template)
            .expect("the template is one of those above")
            .progress_chars("━━─")
            .with_key(
                "running",
                move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
                    if let Ok(running) = running.lock() {
                        // The writer is a string, which takes all.
                        let _ = out.write_str(&list(&running));
                    }
                },
            );
        let style = style.with_key(
            "partitions",
            move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
                if let Ok(tally) = tally.lock() {
                    let elapsed = tally.since.map(|since| since.elapsed());
                    let _ = out.write_str(&left(&tally, elapsed.unwrap_or_default()));
                }
            },
        );
        let target = ProgressDrawTarget::stdout();
        let bar = ProgressBar::with_draw_target(Some(total as u64), target).with_style(style);
        bar.enable_steady_tick(TICK);
        self.bar = Some(bar);
    }

    fn with_running(&self, change: impl FnOnce(&mut Vec<Running>)) {
        if let Ok(mut running) = self.running.lock() {
            change(&mut running);
        }
    }
}

/// A line for each running node, the longest first, each with its line break.
fn list(running: &[Running]) -> String {
    let mut text = String::new();
    for node in running.iter().take(NAMED) {
        text.push_str(&format!(
            "  {:>6.1}s  {}\n",
            node.since.elapsed().as_secs_f64(),
            node.label
        ));
    }
    if running.len() > NAMED {
        text.push_str(&format!("          and {} more\n", running.len() - NAMED));
    }
    text
}

/// `120 of 412 partitions, about 3m left`: as long as those before have taken each in the mean.
fn left(tally: &Tally, elapsed: Duration) -> String {
    let Tally { done, total, .. } = *tally;
    let plural = if total == 1 { "" } else { "s" };
    let mut text = format!("{done} of {total} partition{plural}");
    let left = total.saturating_sub(done);
    if done > 0 && left > 0 {
        let seconds = elapsed.as_secs_f64() / done as f64 * left as f64;
        text.push_str(&format!(", about {} left", length(seconds)));
    }
    text
}

/// So many seconds in the largest unit that fits.
fn length(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 90.0 => format!("{:.0}s", seconds.max(1.0)),
        seconds if seconds < 5400.0 => format!("{:.0}m", seconds / 60.0),
        seconds => format!("{:.1}h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_that_of_the_partitions_before() {
        let tally = |done, total| Tally {
            done,
            total,
            since: None,
        };
        let told = [
            left(&tally(0, 412), Duration::from_secs(3)),
            left(&tally(100, 412), Duration::from_secs(10)),
            left(&tally(100, 412), Duration::from_secs(100)),
            left(&tally(1, 412), Duration::from_secs(60)),
            left(&tally(1, 1), Duration::from_secs(60)),
        ];
        insta::assert_snapshot!(told.join("\n"), @r"
        0 of 412 partitions
        100 of 412 partitions, about 31s left
        100 of 412 partitions, about 5m left
        1 of 412 partitions, about 6.8h left
        1 of 1 partition
        ");
    }

    #[test]
    fn running_nodes_are_listed_the_longest_first() {
        let now = Instant::now();
        let running: Vec<Running> = (0..10)
            .map(|number| Running {
                id: format!("model.shop.m{number}").into(),
                label: format!("model main.m{number}"),
                since: now,
            })
            .collect();
        let text = list(&running);
        assert_eq!(text.lines().count(), NAMED + 1);
        assert!(text.starts_with("     0.0s  model main.m0\n"), "{text}");
        assert!(text.ends_with("and 2 more\n"), "{text}");
    }
}
