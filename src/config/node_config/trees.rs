//! The config trees of all `dbt_project.yml` files, and the layers that a node takes from them.
//!
//! Each tree is rendered once. A node finds its layers by walking the tree along its fqn: a lookup
//! a folder, no matter how many nodes there are.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::config::project::ProjectFile;
use crate::config::{RenderText, render_tree};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::source::{SourceFile, Span};
use crate::yaml::Yaml;

use super::{Layer, NodeConfig, check, known_key, normalize};

/// The rendered trees of the root project and of its packages.
#[derive(Debug)]
pub struct ConfigTrees {
    root: Arc<str>,
    packages: FxHashMap<Arc<str>, FxHashMap<String, Tree>>,
    nothing: NodeConfig,
}

/// What `dbt_project.yml` files say of one node, weakest first.
#[derive(Debug, Default)]
pub struct Layers<'a> {
    /// The node's own package's: below property YAML and `config()`.
    pub own: Vec<&'a Layer>,
    /// The root project's, for a node of another package: over everything.
    pub root: Vec<&'a Layer>,
}

/// The folders below one word such as `models`; the first is that word itself.
#[derive(Debug)]
struct Tree {
    folders: Vec<Folder>,
}

#[derive(Debug)]
struct Folder {
    /// Names from below the word, such as `shop`, `staging`.
    path: Vec<String>,
    /// Where its key stands.
    span: Span,
    /// What it says itself.
    layer: Layer,
    /// What it and the folders above it say.
    merged: NodeConfig,
    children: FxHashMap<String, usize>,
}

impl ConfigTrees {
    /// Renders the trees of the root project, which comes first, and of its packages.
    pub fn new<'a>(
        projects: impl IntoIterator<Item = &'a ProjectFile>,
        render: &RenderText<'_>,
    ) -> (ConfigTrees, Vec<Diagnostic>) {
        let mut diagnostics = Vec::new();
        let mut root = None;
        let mut packages = FxHashMap::default();
        for project in projects {
            root.get_or_insert_with(|| Arc::clone(&project.name));
            let mut trees = FxHashMap::default();
            for (word, tree) in &project.configs {
                let rendered = render_tree(tree, &project.file, render, &mut diagnostics);
                let tree = Tree::new(word, &rendered, &project.file, &mut diagnostics);
                trees.insert(word.clone(), tree);
            }
            packages.insert(Arc::clone(&project.name), trees);
        }
        let trees = ConfigTrees {
            root: root.unwrap_or_else(|| Arc::from("")),
            packages,
            nothing: NodeConfig::default(),
        };
        (trees, diagnostics)
    }

    /// The layers for a node of a package, by its kind (`model`, `seed`, `test`, `source`...) and fqn.
    pub fn layers_for(&self, package: &str, resource: &str, fqn: &[String]) -> Layers<'_> {
        let layers = |package: &str| {
            let folders = self.tree(package, resource).map(|tree| tree.walk(fqn));
            folders
                .into_iter()
                .flatten()
                .map(|folder| &folder.layer)
                .filter(|layer| !layer.is_empty())
                .collect()
        };
        Layers {
            own: layers(package),
            root: if package == &*self.root {
                Vec::new()
            } else {
                layers(&self.root)
            },
        }
    }

    /// The layers of the node's own package, merged: what property YAML and `config()` go over.
    pub fn base(&self, package: &str, resource: &str, fqn: &[String]) -> &NodeConfig {
        self.tree(package, resource)
            .and_then(|tree| tree.walk(fqn).last())
            .map_or(&self.nothing, |folder| &folder.merged)
    }

    fn tree(&self, package: &str, resource: &str) -> Option<&Tree> {
        self.packages.get(package)?.get(word(resource))
    }

    /// Warns of the root project's paths that no node has, given every node's kind and fqn, disabled ones too.
    pub fn unused<'a>(
        &self,
        nodes: impl IntoIterator<Item = (&'a str, &'a [String])>,
    ) -> Vec<Diagnostic> {
        let mut fqns: FxHashMap<&str, Vec<&[String]>> = FxHashMap::default();
        for (resource, fqn) in nodes {
            fqns.entry(word(resource)).or_default().push(fqn);
        }
        let trees = self.packages.get(&self.root).into_iter().flatten();
        let mut warnings: Vec<Diagnostic> = trees
            .flat_map(|(word, tree)| {
                let fqns = fqns.get(word.as_str()).map_or(&[][..], Vec::as_slice);
                tree.unused(word, fqns)
            })
            .collect();
        warnings.sort_by_key(|warning| warning.labels[0].span.range.start);
        warnings
    }
}

/// The key of `dbt_project.yml` that configures such nodes.
fn word(resource: &str) -> &str {
    match resource {
        "seed" | "seeds" => "seeds",
        "snapshot" | "snapshots" => "snapshots",
        "source" | "sources" => "sources",
        "test" | "tests" | "data_tests" => "data_tests",
        "unit_test" | "unit_tests" => "unit_tests",
        "metric" | "metrics" => "metrics",
        "semantic_model" | "semantic_models" => "semantic_models",
        "saved_query" | "saved_queries" => "saved_queries",
        "exposure" | "exposures" => "exposures",
        "function" | "functions" => "functions",
        // dbt configures analyses and operations as models.
        _ => "models",
    }
}

impl Tree {
    fn new(
        word: &str,
        tree: &Yaml,
        file: &Arc<SourceFile>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Tree {
        let span = Span::new(file, tree.range.start..tree.range.start);
        let mut result = Tree {
            folders: Vec::new(),
        };
        let above = NodeConfig::default();
        result.add(word, Vec::new(), span, tree, &above, file, diagnostics);
        result
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one recursion, called in two places"
    )]
    fn add(
        &mut self,
        word: &str,
        path: Vec<String>,
        span: Span,
        tree: &Yaml,
        above: &NodeConfig,
        file: &Arc<SourceFile>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> usize {
        let mut layer = Layer::default();
        let mut below = Vec::new();
        for (key, value) in tree.entries() {
            let plus = key.text.starts_with('+');
            if value.is_mapping() && !plus {
                below.push((key, value));
            } else if plus || !value.is_null() {
                let json = value.to_json();
                let span = || value.span(file);
                diagnostics.extend(check(word, &key.text, &json, span));
                layer.insert(normalize(&key.text).to_owned(), json);
            }
        }
        let mut merged = above.clone();
        merged.merge(&layer);
        let index = self.folders.len();
        self.folders.push(Folder {
            path: path.clone(),
            span,
            layer,
            merged: merged.clone(),
            children: FxHashMap::default(),
        });
        for (key, value) in below {
            let mut path = path.clone();
            path.push(key.text.clone());
            let child = self.add(
                word,
                path,
                key.span(file),
                value,
                &merged,
                file,
                diagnostics,
            );
            self.folders[index].children.insert(key.text.clone(), child);
        }
        index
    }

    /// The folders along an fqn, as far as the tree goes.
    fn walk(&self, fqn: &[String]) -> impl Iterator<Item = &Folder> {
        let mut names = fqn.iter();
        let mut next = self.folders.first();
        std::iter::from_fn(move || {
            let folder = next?;
            next = names
                .next()
                .and_then(|name| folder.children.get(name))
                .map(|&child| &self.folders[child]);
            Some(folder)
        })
    }

    fn unused(&self, word: &str, fqns: &[&[String]]) -> Vec<Diagnostic> {
        let mut used: Vec<bool> = vec![false; self.folders.len()];
        for fqn in fqns {
            let mut index = 0;
            used[0] = true;
            for name in *fqn {
                match self.folders[index].children.get(name) {
                    Some(&child) => index = child,
                    None => break,
                }
                used[index] = true;
            }
        }
        let unused = self.folders.iter().zip(&used);
        unused
            .filter(|(folder, used)| !**used && !folder.layer.is_empty())
            .map(|(folder, _)| warning(word, folder, fqns))
            .chain(self.lost_configs(word, &used))
            .collect()
    }

    /// Mappings such as `meta:` without a `+`, which dbt takes for folders: what stands in them does nothing.
    fn lost_configs<'a>(
        &'a self,
        word: &'a str,
        used: &'a [bool],
    ) -> impl Iterator<Item = Diagnostic> + 'a {
        let unused = self.folders.iter().zip(used);
        unused.filter_map(move |(folder, used)| {
            let name = folder.path.last()?;
            // With a layer of its own, the folder is among the unused ones already.
            let lost = !*used && folder.layer.is_empty() && known_key(word, name);
            lost.then(|| warning(word, folder, &[]))
        })
    }
}

fn warning(word: &str, folder: &Folder, fqns: &[&[String]]) -> Diagnostic {
    let mut path = vec![word.to_owned()];
    path.extend(folder.path.iter().cloned());
    let message = format!("the config path `{}` applies to nothing", path.join("."));
    let help = match folder.path.split_last() {
        Some((name, _)) if known_key(word, name) => {
            format!("write `+{name}` for the config `{name}`")
        }
        Some((name, above)) => {
            let names = fqns
                .iter()
                .filter(|fqn| fqn.starts_with(above))
                .filter_map(|fqn| fqn.get(above.len()).map(String::as_str));
            match nearest(name, names) {
                Some(near) => format!("`{near}` is there"),
                None => "remove it, or name package, folders and node as they are".to_owned(),
            }
        }
        None => format!("remove it, or add {word}"),
    };
    Diagnostic::warning(Code::UnusedConfig, message)
        .at(folder.span.clone())
        .help(help)
}

#[cfg(test)]
mod tests;
