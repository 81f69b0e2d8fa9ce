//! What inboxes have to load, in a plan.

use std::fmt::Write;

use serde_json::{Value as Json, json};

use super::{BOLD, YELLOW, count};
use crate::executor::inbox::Survey;

/// Inboxes as JSON.
pub fn to_json(surveys: &[Survey]) -> Json {
    let surveys = surveys.iter().map(|survey| {
        let waiting = survey.waiting.iter();
        let waiting: Vec<Json> = waiting
            .map(|(batch, sources)| json!({"batch": batch, "waits_for": sources}))
            .collect();
        json!({
            "inbox": survey.inbox,
            "batches": survey.batches,
            "refused": survey.refused,
            "waiting": waiting,
        })
    });
    surveys.collect()
}

/// Inboxes as text, to stand below a plan.
pub fn to_text(surveys: &[Survey]) -> String {
    let mut text = String::new();
    for survey in surveys {
        let range = match &survey.batches[..] {
            [] => String::new(),
            [one] => format!(": {one}"),
            [first, .., last] => format!(": {first} .. {last}"),
        };
        let _ = write!(
            text,
            "\n\n{BOLD}{}{BOLD:#}\n  {} to load{range}",
            survey.inbox,
            count_batches(survey.batches.len())
        );
        for batch in &survey.refused {
            let _ = write!(
                text,
                "\n  {YELLOW}refused{YELLOW:#}: {batch}, whose files are as they were"
            );
        }
        for (batch, sources) in &survey.waiting {
            let _ = write!(
                text,
                "\n  {YELLOW}waiting{YELLOW:#}: {batch} waits for a file of {sources}"
            );
        }
    }
    text
}

fn count_batches(number: usize) -> String {
    match number {
        1 => count(1, "batch"),
        number => format!("{number} batches"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inbox_tells_what_waits() {
        let survey = Survey {
            inbox: "inbox/orders/batch={batch}".to_owned(),
            batches: ["1", "2", "3"].map(str::to_owned).to_vec(),
            refused: vec!["0".to_owned()],
            waiting: vec![("4".to_owned(), "inbox.order_lines".to_owned())],
        };
        let text =
            anstream::adapter::strip_str(&to_text(std::slice::from_ref(&survey))).to_string();
        insta::assert_snapshot!(text.trim_start(), @r"
        inbox/orders/batch={batch}
          3 batches to load: 1 .. 3
          refused: 0, whose files are as they were
          waiting: 4 waits for a file of inbox.order_lines
        ");
        assert_eq!(
            to_json(&[survey]).to_string(),
            r#"[{"inbox":"inbox/orders/batch={batch}","batches":["1","2","3"],"refused":["0"],"waiting":[{"batch":"4","waits_for":"inbox.order_lines"}]}]"#
        );
    }
}
