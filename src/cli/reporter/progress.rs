//! The moving picture below the lines: what runs, for how long, and how much is done.
//!
//! The only user of indicatif. One bar draws everything, so that one thread redraws it.

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
    colors: bool,
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
            colors,
        }
    }

    /// Runs start and end before their lines are written.
    pub(super) fn before(&mut self, event: &Event) {
        match event {
            Event::RunStarted { total, .. } => self.start(*total),
            Event::RunFinished { .. } | Event::Fatal(_) | Event::CommandFinished { .. } => {
                self.finish();
            }
            Event::NodeFinished { result, .. } => {
                self.with_running(|running| {
                    running.retain(|other| other.id != result.node.unique_id);
                });
                if let Some(bar) = &self.bar {
                    bar.inc(1);
                }
            }
            _ => {}
        }
    }

    /// Nodes start after their lines are written.
    pub(super) fn after(&mut self, event: &Event) {
        if let Event::NodeStarted { node, .. } = event {
            let name = node.short_relation.as_deref().unwrap_or(&node.name);
            let label = format!("{} {name}", node.resource_type.as_str());
            self.with_running(|running| {
                running.push(Running {
                    id: node.unique_id.clone(),
                    label,
                    since: Instant::now(),
                });
            });
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

    fn start(&mut self, total: usize) {
        let running = Arc::clone(&self.running);
        let template = if self.colors {
            "{running}{bar:30.green/dim} {pos}/{len}  {elapsed}"
        } else {
            "{running}{bar:30} {pos}/{len}  {elapsed}"
        };
        let style = ProgressStyle::with_template(template)
            .expect("the template is one of the two above")
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

#[cfg(test)]
mod tests {
    use super::*;

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
