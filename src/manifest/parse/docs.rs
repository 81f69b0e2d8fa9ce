//! Blocks of `{% docs %}` in Markdown files, and descriptions that call `doc()`.

use std::sync::Arc;

use indexmap::IndexMap;

use super::Project;
use crate::config::has_jinja;
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::jinja::context::{DocsLookup, docs_context};
use crate::jinja::language::{Scope, py_str};
use crate::loader::Package;
use crate::manifest::{ById, DocBlock, UniqueId};
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
    pub fn to_blocks(&self) -> ById<DocBlock> {
        self.blocks
            .iter()
            .map(|(id, (block, _))| (id.clone(), Arc::clone(block)))
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

    /// Renders a description, in which `doc` gives a block's text.
    ///
    /// # Errors
    /// What the template raised, at the description's place.
    pub fn render(
        self: &Arc<Self>,
        project: &Project<'_>,
        package: usize,
        text: &str,
        span: &Span,
    ) -> Result<String, Box<Diagnostic>> {
        if !has_jinja(text) {
            return Ok(text.to_owned());
        }
        let package = Arc::clone(project.package(package));
        let (docs, from) = (Arc::clone(self), Arc::clone(&package));
        let find: DocsLookup = Arc::new(move |named, name| match docs.find(&from, named, name) {
            Some(block) => Ok(block.contents.as_str().into()),
            None => Err(Box::new(docs.unknown(named, name))),
        });
        let scope = Scope {
            root: docs_context(project.facts, &package, find),
            package,
        };
        let value = project.engine.render_native(text, span, &scope)?;
        Ok(py_str(&value))
    }

    /// The block of a call: of the package named, else of the root project, the caller's, any.
    fn find(&self, from: &str, named: Option<&str>, name: &str) -> Option<&DocBlock> {
        let get = |package: &str| {
            let id = UniqueId::from(format!("doc.{package}.{name}"));
            self.blocks.get(&id).map(|(block, _)| &**block)
        };
        if let Some(package) = named {
            return get(package);
        }
        get(&self.root).or_else(|| get(from)).or_else(|| {
            let mut blocks = self.blocks.values().map(|(block, _)| &**block);
            blocks.find(|block| block.name == *name)
        })
    }

    fn unknown(&self, named: Option<&str>, name: &str) -> Diagnostic {
        let message = match named {
            Some(package) => format!("package `{package}` has no block of docs named `{name}`"),
            None => format!("no block of docs is named `{name}`"),
        };
        let error = Diagnostic::error(Code::UnknownDoc, message);
        let names = self.blocks.values().map(|(block, _)| block.name.as_str());
        match nearest(name, names) {
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
