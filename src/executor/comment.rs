//! The comment that statements carry, so that a database's administrator knows where they come from.

use serde::Serialize;

use super::{Project, QueryComment};
use crate::jinja::context;
use crate::jinja::language::{self, Scope};
use crate::manifest::Node;
use crate::source::SourceFile;

/// A rendered `query-comment`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    text: String,
    append: bool,
}

impl Comment {
    /// Makes a comment of a text; an empty text is none.
    fn new(text: &str, append: bool) -> Option<Comment> {
        // A comment cannot hold the end of a comment.
        let text = text.trim().replace("*/", "* /");
        (!text.is_empty()).then_some(Comment { text, append })
    }

    /// Adds it to a statement; the number says how many bytes now stand before the statement.
    pub fn add_to(&self, sql: &str) -> (String, usize) {
        if self.append {
            let sql = sql.trim_end();
            let (body, end) = match sql.strip_suffix(';') {
                Some(body) => (body, ";"),
                None => (sql, ""),
            };
            return (format!("{body}\n/* {} */{end}", self.text), 0);
        }
        let before = format!("/* {} */\n", self.text);
        (format!("{before}{sql}"), before.len())
    }
}

/// Renders the project's comment for a node; a template that fails gives none.
pub fn comment_for(project: &Project, node: Option<&Node>) -> Option<Comment> {
    let QueryComment::On { template, append } = &project.query_comment else {
        return None;
    };
    let text = match template {
        None => default_comment(project, node),
        Some(template) if !template.contains('{') => template.clone(),
        Some(template) => {
            let file = SourceFile::inline("query-comment", template.as_str());
            let package = project.manifest.project.clone();
            let node = node.map_or(serde_json::Value::Null, |node| project.node_json(node));
            let node = language::from_json(&node);
            let root = context::comment_context(&project.facts, &package, node);
            let scope = Scope { package, root };
            let template = project.engine.compile(&file).ok()?;
            project.engine.render_or_return(&template, &scope).ok()?
        }
    };
    Comment::new(&text, *append)
}

fn default_comment(project: &Project, node: Option<&Node>) -> String {
    let facts = &project.facts;
    let target = facts.target.get("name");
    let comment = DefaultComment {
        app: "daygrain",
        daygrain_version: env!("CARGO_PKG_VERSION"),
        profile_name: &facts.profile,
        target_name: target.and_then(serde_json::Value::as_str),
        node_id: node.map(|node| node.unique_id.as_str()),
    };
    serde_json::to_string(&comment).expect("text alone is always JSON")
}

#[derive(Serialize)]
struct DefaultComment<'a> {
    app: &'static str,
    daygrain_version: &'static str,
    profile_name: &'a str,
    target_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_id: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_stands_before_or_behind() {
        let mut comment = Comment::new("x\n", false).expect("it is not empty");
        assert_eq!(
            comment.add_to("select 1"),
            ("/* x */\nselect 1".to_owned(), 8)
        );
        comment.append = true;
        assert_eq!(
            comment.add_to("select 1;\n"),
            ("select 1\n/* x */;".to_owned(), 0)
        );
        assert_eq!(Comment::new(" \n", false), None);
        let closed = Comment::new("a */ b", false).expect("it is not empty");
        assert_eq!(closed.add_to("x").0, "/* a * / b */\nx");
    }
}
