//! The story of a partition: how it stands, why, and what happened before.

use std::fmt::Write;

use serde_json::{Value as Json, json};

use super::{BOLD, DIM, GREEN, RED, YELLOW, count, rows, styled};
use crate::executor::why::{BuildRow, Reason, Story};
use crate::planner::overview::Mark;

/// The story as JSON.
pub fn to_json(story: &Story) -> Json {
    let reads = story.reads.iter().map(|read| {
        json!({"name": read.name, "partitions": read.span, "count": read.parts, "newest_version": read.newest})
    });
    let history = story.history.iter().map(|chapter| {
        let mut told = build_json(&chapter.build);
        told["because"] = reasons_json(&chapter.because);
        told
    });
    json!({
        "node": story.node,
        "partition": story.key,
        "status": story.mark.as_str(),
        "because": reasons_json(&story.because),
        "build": story.build.as_ref().map(build_json),
        "code_is_todays": story.code_is_todays,
        "read": reads.collect::<Vec<_>>(),
        "attempts": story.attempts.iter().map(build_json).collect::<Vec<_>>(),
        "history": history.collect::<Vec<_>>(),
    })
}

fn reasons_json(reasons: &[Reason]) -> Json {
    let reasons = reasons.iter();
    reasons
        .map(|reason| json!({"reason": reason.text, "because": reasons_json(&reason.because)}))
        .collect()
}

fn build_json(build: &BuildRow) -> Json {
    json!({
        "build": build.number,
        "outcome": build.outcome,
        "finished": build.finished,
        "run": build.run,
        "as_of": build.as_of,
        "rows": build.rows,
        "version": build.version,
        "reason": build.reason,
    })
}

/// The story as text.
pub fn to_text(story: &Story) -> String {
    let what = match story.key.as_str() {
        "all" => story.name.clone(),
        key => format!("{} {key}", story.name),
    };
    let (how, style) = match story.mark {
        Mark::Fresh => ("is fresh", GREEN),
        Mark::OlderCode => ("was built by older code, and may stay", GREEN),
        Mark::Adopted => ("was adopted: nobody knows which code built it", GREEN),
        Mark::Provisional => ("is provisional: it was built before it was closed", GREEN),
        Mark::Stale => ("is stale", YELLOW),
        Mark::Refused => ("is stale, and what was built last was refused", RED),
        Mark::Failed => ("is stale, and the last attempt failed", RED),
        Mark::Waiting => ("must wait", YELLOW),
        Mark::Missing => ("is missing: the source has no such partition", YELLOW),
        Mark::Frozen => (
            "is frozen: it is stale and can never be built again",
            YELLOW,
        ),
        Mark::Expired => ("has expired: its rows were too old", DIM),
        Mark::NotDue => ("is not due", DIM),
    };
    let mut text = format!("{} {}", styled(BOLD, what), styled(style, how));
    add_reasons(&mut text, &story.because, "\n  because ", "\n          ");
    for attempt in &story.attempts {
        let _ = write!(
            text,
            "\n\n  {}  build {} at {} UTC: {}",
            styled(RED, format!("{:<9}", attempt.outcome)),
            attempt.number,
            attempt.finished,
            attempt.reason.as_deref().unwrap_or("nobody knows why")
        );
    }
    if let Some(build) = &story.build {
        let code = match story.code_is_todays {
            Some(true) => ", by today's code",
            Some(false) => ", by other code",
            None => "",
        };
        let _ = write!(
            text,
            "\n\n  {:<9}  build {} at {} UTC{}{code}\n             {}",
            build.outcome,
            build.number,
            build.finished,
            match build.outcome.as_str() {
                "seen" => String::new(),
                _ => format!(", {}", rows(build.rows)),
            },
            styled(DIM, format!("run {}, as of {} UTC", build.run, build.as_of))
        );
    }
    let width = story
        .reads
        .iter()
        .map(|read| read.name.chars().count())
        .max();
    let width = width.unwrap_or(0);
    let wide = story
        .reads
        .iter()
        .map(|read| read.span.chars().count())
        .max();
    let wide = wide.unwrap_or(0);
    for (index, read) in story.reads.iter().enumerate() {
        let lead = if index == 0 {
            "\n\n  read     "
        } else {
            "\n           "
        };
        let parts = count(usize::try_from(read.parts).unwrap_or(0), "partition");
        let _ = write!(
            text,
            "{lead}  {:<width$}  {:<wide$}  {}",
            read.name,
            read.span,
            styled(DIM, format!("{parts}, newest version {}", read.newest))
        );
    }
    if !story.history.is_empty() {
        text.push_str("\n\n  history");
    }
    for chapter in &story.history {
        let build = &chapter.build;
        let kept = match (build.outcome.as_str(), build.version == build.number) {
            ("published" | "provisional", false) => {
                format!("; same content, so version {} was kept", build.version)
            }
            _ => String::new(),
        };
        let rows = match build.outcome.as_str() {
            "seen" => String::new(),
            _ => format!(", {}", rows(build.rows)),
        };
        let _ = write!(
            text,
            "\n    {}  {} as build {}{rows}{kept}",
            build.finished, build.outcome, build.number
        );
        add_reasons(
            &mut text,
            &chapter.because,
            "\n      because ",
            "\n              ",
        );
    }
    text
}

/// A tree of reasons, each level further in.
fn add_reasons(text: &mut String, reasons: &[Reason], first: &str, next: &str) {
    for (index, reason) in reasons.iter().enumerate() {
        text.push_str(if index == 0 { first } else { next });
        text.push_str(&reason.text);
        add_below(text, &reason.because, next, 1);
    }
}

fn add_below(text: &mut String, reasons: &[Reason], margin: &str, depth: usize) {
    for reason in reasons {
        text.push_str(margin);
        text.push_str(&"   ".repeat(depth - 1));
        text.push_str("└─ ");
        text.push_str(&reason.text);
        add_below(text, &reason.because, margin, depth + 1);
    }
}
