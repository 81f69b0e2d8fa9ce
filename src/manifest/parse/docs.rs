//! Blocks of `{% docs %}` in Markdown files, and descriptions that call `doc()`.

use std::sync::Arc;

use indexmap::IndexMap;

use super::{Project, python};
use crate::config::has_jinja;
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::loader::Package;
use crate::manifest::{DocBlock, UniqueId};
use crate::source::{SourceFile, Span};

/// Every block, by unique id.
pub struct Docs {
    root: Arc<str>,
    blocks: IndexMap<UniqueId, (Arc<DocBlock>, Span)>,
}

impl Docs {
    /// Reads the Markdown files of all packages.
    pub fn read(packages: &[Package], diagnostics: &mut Vec<Diagnostic>) -> Docs {
        let root = packages.first().map(|root| Arc::clone(&root.project.name));
        let mut docs = Docs {
            root: root.unwrap_or_default(),
            blocks: IndexMap::new(),
        };
        for package in packages {
            for loaded in &package.docs {
                docs.read_file(&package.project.name, &loaded.file, diagnostics);
            }
        }
        docs.blocks.sort_keys();
        docs
    }

    /// The blocks as the manifest holds them.
    pub fn into_blocks(self) -> IndexMap<UniqueId, Arc<DocBlock>> {
        self.blocks
            .into_iter()
            .map(|(id, (block, _))| (id, block))
            .collect()
    }

    fn read_file(
        &mut self,
        package: &Arc<str>,
        file: &Arc<SourceFile>,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let mut at = 0;
        while let Some(open) = next_tag(&file.text, at) {
            at = open.end;
            let mut words = open.text.split_whitespace();
            if words.next() != Some("docs") {
                continue;
            }
            let span = Span::new(file, open.start..open.end);
            let (Some(name), None) = (words.next(), words.next()) else {
                let error = Diagnostic::error(Code::JinjaSyntax, "a block of docs needs one name");
                diagnostics.push(error.at(span).help("write it as `{% docs name %}`"));
                continue;
            };
            let close = std::iter::successors(next_tag(&file.text, at), |tag| {
                next_tag(&file.text, tag.end)
            })
            .find(|tag| tag.text == "enddocs");
            let Some(close) = close else {
                let message = format!("the block of docs `{name}` is never closed");
                let error = Diagnostic::error(Code::JinjaSyntax, message).at(span);
                diagnostics.push(error.help("add `{% enddocs %}`"));
                return;
            };
            at = close.end;
            let id = UniqueId::from(format!("doc.{package}.{name}"));
            if let Some((_, first)) = self.blocks.get(&id) {
                let message = format!("two blocks of docs are named `{name}`");
                let error = Diagnostic::error(Code::DuplicateName, message);
                diagnostics.push(
                    error
                        .at(span)
                        .label(first.clone(), "first here")
                        .help("rename one of them"),
                );
                continue;
            }
            let block = DocBlock {
                unique_id: id.clone(),
                package: Arc::clone(package),
                name: name.to_owned(),
                original_path: file.path.clone(),
                contents: file.text[open.end..close.start].trim().to_owned(),
            };
            self.blocks.insert(id, (Arc::new(block), span));
        }
    }

    /// Renders a description: calls of `doc` become the block's text.
    pub fn render(
        &self,
        project: &Project<'_>,
        package: usize,
        text: &str,
        span: &Span,
    ) -> Result<String, Vec<Diagnostic>> {
        if !has_jinja(text) {
            return Ok(text.to_owned());
        }
        let (mut rendered, mut errors) = (String::new(), Vec::new());
        let mut rest = text;
        // Each expression stands alone here; anything with blocks is a template as a whole.
        while let Some(start) = rest.find("{{").filter(|_| !text.contains("{%")) {
            let Some(end) = rest[start..].find("}}").map(|end| start + end) else {
                break;
            };
            rendered.push_str(&rest[..start]);
            let expression = rest[start + 2..end].trim_matches(['-', ' ', '\n', '\t']);
            match doc_call(expression) {
                Some(names) => match self.find(project.package(package), &names) {
                    Some(block) => rendered.push_str(&block.contents),
                    None => errors.push(self.unknown(&names, span)),
                },
                None => match project.render_yaml(package, &rest[start..end + 2], span) {
                    Ok(value) => rendered.push_str(&python::str(&value)),
                    Err(error) => errors.push(*error),
                },
            }
            rest = &rest[end + 2..];
        }
        if rest.len() == text.len() {
            match project.render_yaml(package, rest, span) {
                Ok(value) => rendered.push_str(&python::str(&value)),
                Err(error) => errors.push(*error),
            }
        } else {
            rendered.push_str(rest.strip_suffix('\n').unwrap_or(rest));
        }
        if errors.is_empty() {
            Ok(rendered)
        } else {
            Err(errors)
        }
    }

    /// The block of a call: of the package named, else of the caller's, the root project's, any.
    fn find(&self, package: &str, names: &[String]) -> Option<&DocBlock> {
        let get = |package: &str, name: &str| {
            let id = UniqueId::from(format!("doc.{package}.{name}"));
            self.blocks.get(&id).map(|(block, _)| &**block)
        };
        match names {
            [package, name] => get(package, name),
            [name] => get(&self.root, name)
                .or_else(|| get(package, name))
                .or_else(|| {
                    let mut blocks = self.blocks.values().map(|(block, _)| &**block);
                    blocks.find(|block| block.name == *name)
                }),
            _ => None,
        }
    }

    fn unknown(&self, names: &[String], span: &Span) -> Diagnostic {
        let name = names.last().map(String::as_str).unwrap_or_default();
        let message = format!("no block of docs is named `{}`", names.join("."));
        let error = Diagnostic::error(Code::UnknownDoc, message).at(span.clone());
        match nearest(
            name,
            self.blocks.values().map(|(block, _)| block.name.as_str()),
        ) {
            Some(near) => error.help(format!("a block named `{near}` exists")),
            None => error.help(format!("write `{{% docs {name} %}}` in a Markdown file")),
        }
    }
}

struct Tag<'a> {
    start: usize,
    end: usize,
    text: &'a str,
}

/// The next `{% .. %}` from an offset on.
fn next_tag(text: &str, from: usize) -> Option<Tag<'_>> {
    let start = from + text[from..].find("{%")?;
    let end = start + text[start..].find("%}")? + 2;
    Some(Tag {
        start,
        end,
        text: text[start + 2..end - 2].trim_matches('-').trim(),
    })
}

/// The names in `doc('name')` or `doc('package', 'name')`.
fn doc_call(expression: &str) -> Option<Vec<String>> {
    super::generic::literal_call(expression)
        .filter(|(function, _)| *function == "doc")
        .map(|(_, names)| names)
}
