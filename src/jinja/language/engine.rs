//! The table of macros, and how names are found in it.

use std::sync::Arc;

use minijinja::{Environment, Value};
use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::environment::Parts;
use super::fault::{Fault, Origin, returned};
use super::frame::{Frame, Package, Rendering};
use super::lexer::SyntaxError;
use super::macros::{MacroValue, Program};
use super::native;
use super::parser::{Kind, Mentions, Parsed, parse};
use super::syntax::Syntax;
use super::{Lookup, MacroFile, MacroInfo, Scope, environment, forward, methods, py_str};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{SourceFile, Span};

/// Macros by name.
#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: FxHashMap<Arc<str>, (usize, Value)>,
}

impl Table {
    pub fn find(&self, name: &str) -> Option<Value> {
        self.entries.get(name).map(|(_, value)| value.clone())
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.entries.get(name).map(|(index, _)| *index)
    }

    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.entries.keys().map(|name| name.to_string()).collect();
        names.sort();
        names
    }

    /// One table of several, of which the earlier win.
    fn merged<'a>(tables: impl IntoIterator<Item = &'a Arc<Table>>) -> Arc<Table> {
        let mut entries = FxHashMap::default();
        for table in tables {
            for (name, found) in &table.entries {
                entries
                    .entry(Arc::clone(name))
                    .or_insert_with(|| found.clone());
            }
        }
        Arc::new(Table { entries })
    }
}

/// What an engine consists of; shared by all its renderings.
pub(crate) struct Inner {
    env: Environment<'static>,
    /// For renderings with `execute` false.
    parse_env: Environment<'static>,
    pub syntax: Syntax,
    pub lookup: Lookup,
    infos: Vec<MacroInfo>,
    /// Of the macros that are materializations, the one that counts, by its name.
    materializations: FxHashMap<Arc<str>, usize>,
    /// The macros of each package, and of `dbt` those of all built-in packages.
    packages: FxHashMap<Arc<str>, Arc<Table>>,
    package_values: FxHashMap<Arc<str>, Value>,
    /// What a template of a package sees.
    scopes: FxHashMap<Arc<str>, Arc<Table>>,
    /// What a template of a package without macros sees.
    root_scope: Arc<Table>,
    /// Whether a macro or a package has a name of [`forward::RELIES_ON`].
    pub renames: bool,
}

impl Inner {
    pub fn table_of(&self, package: &str) -> Option<&Arc<Table>> {
        self.packages.get(package)
    }

    pub fn package(&self, name: &str) -> Option<Value> {
        self.package_values.get(name).cloned()
    }

    /// The environment for a scope, which says by `execute` whether there is a database.
    fn env_of(&self, scope: &Scope) -> &Environment<'static> {
        match scope.root.get_attr("execute") {
            Ok(execute) if !execute.is_undefined() && !execute.is_true() => &self.parse_env,
            _ => &self.env,
        }
    }

    fn scope(&self, package: &str) -> &Arc<Table> {
        self.scopes.get(package).unwrap_or(&self.root_scope)
    }

    /// The packages that `adapter.dispatch` searches; `None` is what the template sees.
    pub fn dispatch_order(&self, namespace: Option<&str>) -> Vec<Option<String>> {
        let Some(namespace) = namespace else {
            return vec![None];
        };
        match self.lookup.dispatch.get(namespace) {
            Some(order) => order.iter().cloned().map(Some).collect(),
            None if self.lookup.builtin.iter().any(|name| **name == *namespace) => vec![None],
            None if self.packages.contains_key(namespace) => {
                vec![
                    Some(self.lookup.root.to_string()),
                    Some(namespace.to_owned()),
                ]
            }
            None => vec![None],
        }
    }
}

/// The macros of a project, compiled once and shared by all threads.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

/// A compiled template.
pub struct Template {
    body: Body,
    origin: Arc<Origin>,
    mentions: Mentions,
}

enum Body {
    /// Text without any tag.
    Text(String),
    Program(Program),
}

impl Template {
    /// Names that its text calls, as [`MacroInfo::calls`].
    pub fn calls(&self) -> &[String] {
        &self.mentions.calls
    }

    /// Whether its text reads a name.
    pub fn mentions(&self, name: &str) -> bool {
        self.mentions.names.contains(name)
    }

    /// Constant arguments of `adapter.dispatch` in its text: the name, and the namespace where given.
    pub fn dispatches(&self) -> &[(String, Option<String>)] {
        &self.mentions.dispatches
    }
}

/// A `snapshot` block of a file.
pub struct SnapshotBlock {
    /// Its name.
    pub name: String,
    /// The whole block.
    pub span: Span,
    /// What stands inside of it.
    pub template: Template,
}

/// A macro with its declaration.
type Compiled = (MacroInfo, Value);

impl Engine {
    pub(crate) fn from_inner(inner: Arc<Inner>) -> Engine {
        Engine { inner }
    }

    /// Compiles every macro, in parallel. Broken files are reported and left out.
    pub fn new(files: &[MacroFile], lookup: Lookup) -> (Engine, Vec<Diagnostic>) {
        let syntax = Syntax::new();
        let compiled: Vec<Result<Vec<Compiled>, Box<Diagnostic>>> = files
            .par_iter()
            .map(|file| compile_macros(&syntax, &lookup, file))
            .collect();
        let mut diagnostics = Vec::new();
        let mut infos: Vec<MacroInfo> = Vec::new();
        let mut own: FxHashMap<Arc<str>, Table> = FxHashMap::default();
        for result in compiled {
            let macros = result.unwrap_or_else(|diagnostic| {
                diagnostics.push(*diagnostic);
                Vec::new()
            });
            for (info, value) in macros {
                let table = own.entry(Arc::clone(&info.package)).or_default();
                if let Some(first) = table.index(&info.name) {
                    diagnostics.push(duplicate(&info, &infos[first]));
                    continue;
                }
                table
                    .entries
                    .insert(Arc::clone(&info.name), (infos.len(), value));
                infos.push(info);
            }
        }
        let mut packages: FxHashMap<Arc<str>, Arc<Table>> = own
            .into_iter()
            .map(|(name, table)| (name, Arc::new(table)))
            .collect();
        let builtin = Table::merged(lookup.builtin.iter().filter_map(|name| packages.get(name)));
        let empty = Arc::new(Table::default());
        let root = Arc::clone(packages.get(&lookup.root).unwrap_or(&empty));
        let scopes = packages
            .iter()
            .filter(|(name, _)| !lookup.builtin.contains(name))
            .map(|(name, table)| (Arc::clone(name), Table::merged([table, &root, &builtin])))
            .collect();
        let root_scope = Table::merged([&root, &builtin]);
        if !lookup.builtin.is_empty() {
            packages.insert(Arc::from("dbt"), builtin);
        }
        let renames = forward::RELIES_ON.into_iter().any(|name| {
            let mut tables = packages.values();
            packages.contains_key(name) || tables.any(|table| table.index(name).is_some())
        });
        let package_values = packages
            .iter()
            .map(|(name, table)| {
                let package = Package {
                    name: Arc::clone(name),
                    table: Arc::clone(table),
                };
                (Arc::clone(name), Value::from_object(package))
            })
            .collect();
        let materializations = materializations(&infos, &lookup);
        let inner = Inner {
            env: environment::environment(Parts::Refused),
            parse_env: environment::environment(Parts::Undefined),
            syntax,
            lookup,
            infos,
            materializations,
            packages,
            package_values,
            scopes,
            root_scope,
            renames,
        };
        (Engine::from_inner(Arc::new(inner)), diagnostics)
    }

    /// Every macro, in the order of the files.
    pub fn macros(&self) -> &[MacroInfo] {
        &self.inner.infos
    }

    /// Finds a macro as a template of a package would: its own package, the root project, the built-ins;
    /// `package.name` names the package.
    pub fn find(&self, from_package: &str, name: &str) -> Option<&MacroInfo> {
        let table = match name.split_once('.') {
            Some((package, _)) => self.inner.table_of(package)?,
            None => self.inner.scope(from_package),
        };
        let name = name.split_once('.').map_or(name, |(_, name)| name);
        table.index(name).map(|index| &self.inner.infos[index])
    }

    /// Finds the macro that `adapter.dispatch(name, namespace)` gives to a template of a package.
    pub fn find_dispatched(
        &self,
        from_package: &str,
        name: &str,
        namespace: Option<&str>,
    ) -> Option<&MacroInfo> {
        let prefixes = [&*self.inner.lookup.dialect, "default"];
        self.inner
            .dispatch_order(namespace)
            .into_iter()
            .find_map(|package| {
                prefixes.iter().find_map(|prefix| match &package {
                    Some(package) => {
                        self.find(from_package, &format!("{package}.{prefix}__{name}"))
                    }
                    None => self.find(from_package, &format!("{prefix}__{name}")),
                })
            })
    }

    /// Finds the materialization for a dialect: `materialization_<name>_<dialect>`, else `.._default`;
    /// the root project's before packages' before built-in ones.
    pub fn find_materialization(&self, name: &str) -> Option<&MacroInfo> {
        let inner = &self.inner;
        [&*inner.lookup.dialect, "default"]
            .into_iter()
            .find_map(|adapter| {
                let full = format!("materialization_{name}_{adapter}");
                let found = inner.materializations.get(&*full)?;
                inner.infos.get(*found)
            })
    }

    /// Compiles a template. White space around the whole text is left out, as dbt does when it reads a file.
    ///
    /// # Errors
    /// A syntax error, at its place.
    pub fn compile(&self, file: &Arc<SourceFile>) -> Result<Template, Box<Diagnostic>> {
        let text = &file.text;
        let start = text.len() - text.trim_start().len();
        let trimmed = text.trim();
        let origin = Arc::new(Origin {
            file: Arc::clone(file),
            whole: None,
            builtin: false,
        });
        if !has_tags(trimmed) {
            return Ok(Template {
                body: Body::Text(trimmed.replace("\r\n", "\n")),
                origin,
                mentions: Mentions::default(),
            });
        }
        let parsed = self.parse(&origin, text, start..start + trimmed.len())?;
        Ok(Template {
            body: Body::Program(Program::of_body(&parsed.body)),
            origin,
            mentions: parsed.mentions,
        })
    }

    /// Compiles the `snapshot` blocks of a file.
    ///
    /// # Errors
    /// A syntax error, at its place.
    pub fn compile_snapshots(
        &self,
        file: &Arc<SourceFile>,
    ) -> Result<Vec<SnapshotBlock>, Box<Diagnostic>> {
        let origin = Arc::new(Origin {
            file: Arc::clone(file),
            whole: None,
            builtin: false,
        });
        let parsed = self.parse(&origin, &file.text, 0..file.text.len())?;
        let snapshots = parsed.snapshots.into_iter().map(|snapshot| SnapshotBlock {
            name: snapshot.name,
            span: Span::new(file, snapshot.span),
            template: Template {
                body: Body::Program(Program::of_body(&snapshot.body)),
                origin: Arc::clone(&origin),
                mentions: snapshot.mentions,
            },
        });
        Ok(snapshots.collect())
    }

    fn parse(
        &self,
        origin: &Arc<Origin>,
        text: &str,
        range: std::ops::Range<usize>,
    ) -> Result<Parsed, Box<Diagnostic>> {
        let package = &self.inner.lookup.root;
        parse(
            &self.inner.syntax,
            Kind::Template,
            origin,
            package,
            text,
            range,
        )
        .map_err(|error| syntax_diagnostic(error, origin))
    }

    /// Compiles and renders text that stands inside a file (a YAML scalar), natively, as dbt does:
    /// a text that is one expression gives its value (`{{ var('days') }}` a number), any other a string.
    /// Constants (`{{ 1 + 1 }}`) give text, unless `as_number`, `as_bool` or `as_native` ask for more.
    ///
    /// # Errors
    /// As [`Engine::compile`] and [`Engine::render`], placed at `span`.
    pub fn render_native(
        &self,
        text: &str,
        span: &Span,
        scope: &Scope,
    ) -> Result<Value, Box<Diagnostic>> {
        if !has_tags(text) {
            return Ok(Value::from(text));
        }
        let origin = Arc::new(Origin {
            file: Arc::clone(&span.file),
            whole: Some(span.range.clone()),
            builtin: false,
        });
        let end = text.strip_suffix('\n').unwrap_or(text).len();
        let inner = &self.inner;
        let parsed = parse(
            &inner.syntax,
            Kind::Native,
            &origin,
            &inner.lookup.root,
            text,
            0..end,
        )
        .map_err(|error| syntax_diagnostic(error, &origin))?;
        let program = Program::of_body(&parsed.body);
        let rendering = self.rendering(scope);
        let frame = self.frame(&rendering, &origin);
        let result = program
            .run_native(inner.env_of(scope), frame)
            .and_then(|(text, nodes)| native::result(text, nodes));
        result
            .map_err(|error| Fault::leave(&error, &origin, &|| rendering.names()).into_diagnostic())
    }

    /// Renders a template.
    ///
    /// # Errors
    /// What went wrong, at the template's line, with the chain of macros that led there. A
    /// diagnostic that a context function raised comes out with its code, message and `sql`, places added.
    pub fn render(&self, template: &Template, scope: &Scope) -> Result<String, Box<Diagnostic>> {
        let program = match &template.body {
            Body::Text(text) => return Ok(text.clone()),
            Body::Program(program) => program,
        };
        let rendering = self.rendering(scope);
        match program.run(
            self.inner.env_of(scope),
            self.frame(&rendering, &template.origin),
        ) {
            Ok((text, _)) => Ok(text),
            Err(error) => {
                Err(Fault::leave(&error, &template.origin, &|| rendering.names()).into_diagnostic())
            }
        }
    }

    /// As [`Engine::render`], where `return(..)` gives the text, as in the body of a macro.
    ///
    /// # Errors
    /// As [`Engine::render`].
    pub fn render_or_return(
        &self,
        template: &Template,
        scope: &Scope,
    ) -> Result<String, Box<Diagnostic>> {
        let program = match &template.body {
            Body::Text(text) => return Ok(text.clone()),
            Body::Program(program) => program,
        };
        let rendering = self.rendering(scope);
        match program.run(
            self.inner.env_of(scope),
            self.frame(&rendering, &template.origin),
        ) {
            Ok((text, _)) => Ok(text),
            Err(error) => match returned(&error) {
                Some(value) => Ok(py_str(&value)),
                None => Err(
                    Fault::leave(&error, &template.origin, &|| rendering.names()).into_diagnostic(),
                ),
            },
        }
    }

    /// Calls a macro by its name, as a template of the scope's package would.
    ///
    /// # Errors
    /// As [`Engine::render`].
    pub fn call(
        &self,
        name: &str,
        args: &[Value],
        kwargs: &[(&str, Value)],
        scope: &Scope,
    ) -> Result<Value, Box<Diagnostic>> {
        let rendering = self.rendering(scope);
        let table = match name.split_once('.') {
            Some((package, _)) => self.inner.table_of(package),
            None => Some(&rendering.table),
        };
        let plain = name.split_once('.').map_or(name, |(_, plain)| plain);
        let found = table
            .and_then(|table| table.find(plain))
            .and_then(|value| value.downcast_object::<MacroValue>());
        let Some(found) = found else {
            return Err(Box::new(super::fault::undefined_name(
                name,
                &rendering.names(),
            )));
        };
        let mut args = args.to_vec();
        if !kwargs.is_empty() {
            let entries = kwargs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()));
            args.push(methods::kwargs(entries));
        }
        found
            .invoke(self.inner.env_of(scope), &rendering, 0, None, &args)
            .map_err(|error| Fault::of(&error, &|| rendering.names()).into_diagnostic())
    }

    fn rendering(&self, scope: &Scope) -> Arc<Rendering> {
        Arc::new(Rendering {
            engine: Arc::clone(&self.inner),
            scope: scope.clone(),
            table: Arc::clone(self.inner.scope(&scope.package)),
        })
    }

    fn frame(&self, rendering: &Arc<Rendering>, origin: &Arc<Origin>) -> Frame {
        Frame {
            locals: Vec::new(),
            rendering: Arc::clone(rendering),
            depth: 0,
            origin: Arc::clone(origin),
            site: None,
        }
    }
}

/// The materializations by name: the root project's, else a package's, else a built-in one.
fn materializations(infos: &[MacroInfo], lookup: &Lookup) -> FxHashMap<Arc<str>, usize> {
    let rank = |info: &MacroInfo| match info.package == lookup.root {
        true => 0,
        false => {
            let mut builtin = lookup.builtin.iter();
            let at = builtin.position(|package| *package == info.package);
            at.map_or(1, |at| 2 + at)
        }
    };
    let mut found: FxHashMap<Arc<str>, usize> = FxHashMap::default();
    for (at, info) in infos.iter().enumerate() {
        if !info.name.starts_with("materialization_") {
            continue;
        }
        let best = found.entry(Arc::clone(&info.name)).or_insert(at);
        if rank(info) < rank(&infos[*best]) {
            *best = at;
        }
    }
    found
}

/// Whether a text holds any tag.
fn has_tags(text: &str) -> bool {
    text.as_bytes()
        .windows(2)
        .any(|pair| pair[0] == b'{' && matches!(pair[1], b'{' | b'%' | b'#'))
}

fn compile_macros(
    syntax: &Syntax,
    lookup: &Lookup,
    file: &MacroFile,
) -> Result<Vec<Compiled>, Box<Diagnostic>> {
    let origin = Arc::new(Origin {
        file: Arc::clone(&file.file),
        whole: None,
        builtin: lookup.builtin.contains(&file.package),
    });
    let text = &file.file.text;
    let parsed = parse(
        syntax,
        Kind::MacroFile,
        &origin,
        &file.package,
        text,
        0..text.len(),
    )
    .map_err(|error| syntax_diagnostic(error, &origin))?;
    let macros = parsed.macros.into_iter().map(|parsed| {
        let info = MacroInfo {
            package: Arc::clone(&file.package),
            name: Arc::clone(&parsed.def.name),
            span: Span::new(&file.file, parsed.span),
            arguments: parsed
                .def
                .parameters
                .iter()
                .map(|parameter| parameter.name.to_owned())
                .collect(),
            calls: parsed.mentions.calls,
            dispatches: parsed.mentions.dispatches,
            is_materialization: parsed.is_materialization,
            languages: parsed.languages,
        };
        (info, Value::from_object(MacroValue::new(parsed.def)))
    });
    Ok(macros.collect())
}

fn syntax_diagnostic(error: SyntaxError, origin: &Origin) -> Box<Diagnostic> {
    let mut diagnostic =
        Diagnostic::error(Code::JinjaSyntax, error.message).at(origin.span(error.range));
    if let Some((range, text)) = error.opened
        && origin.whole.is_none()
    {
        diagnostic = diagnostic.label(origin.span(range), text);
    }
    Box::new(diagnostic)
}

fn duplicate(info: &MacroInfo, first: &MacroInfo) -> Diagnostic {
    Diagnostic::error(
        Code::DuplicateName,
        format!(
            "two macros of package `{}` are named `{}`",
            info.package, info.name
        ),
    )
    .at(info.span.clone())
    .label(first.span.clone(), "the first is here")
    .help("rename or remove one of them")
}
