//! The built-in macros with a database behind them, without a project.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use daygrain::adapter::{AdapterErrorKind, Connection};
use daygrain::diagnostic::{Code, Diagnostic, FailedSql};
use daygrain::dialect::Dialect;
use daygrain::jinja::context::{self, ExecuteScope, NodeState, ProjectFacts, execute_context};
use daygrain::jinja::language::{Engine, Lookup, MacroFile, Scope};
use daygrain::jinja::port::{
    CacheChange, Fetch, QueryFailure, QueryOutcome, RefCall, Resolver, SourceCall, TemplateMessage,
    Transaction, Warehouse,
};
use daygrain::jinja::{Value, builtin};
use daygrain::relation::Relation;
use daygrain::source::SourceFile;
use daygrain::table::{Datum, Table};
use daygrain::{adapter, sql};
use indexmap::IndexMap;
use serde_json::{Map, Value as Json, json};
use tokio::runtime::Runtime;

use super::{postgres_fields, target};
/// A session on a real database, that keeps what was sent.
pub struct Live {
    pub adapter: Arc<dyn adapter::Adapter>,
    pub runtime: Runtime,
    pub connection: Mutex<Box<dyn Connection>>,
    pub open: Mutex<bool>,
    pub sent: Mutex<Vec<String>>,
    pub cache: Mutex<BTreeMap<Relation, Vec<Relation>>>,
    pub seed: Mutex<Arc<Table>>,
    pub said: Mutex<Vec<TemplateMessage>>,
}

impl Live {
    pub fn new(dialect: &'static Dialect, schema: &str) -> Arc<Live> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let fields = match dialect.name {
            "postgres" => postgres_fields(schema),
            _ => Map::new(),
        };
        let adapter = adapter::open(&target(dialect, fields), std::path::Path::new(".")).unwrap();
        let connection = runtime.block_on(adapter.connect()).unwrap();
        let live = Live {
            adapter,
            runtime,
            connection: Mutex::new(connection),
            open: Mutex::new(false),
            sent: Mutex::default(),
            cache: Mutex::default(),
            seed: Mutex::default(),
            said: Mutex::default(),
        };
        live.run(&format!("drop schema if exists {schema} cascade"));
        live.run(&format!("create schema {schema}"));
        Arc::new(live)
    }

    pub fn run(&self, sql: &str) -> Table {
        let mut connection = self.connection.lock().unwrap();
        self.runtime.block_on(connection.fetch(sql)).expect(sql).1
    }

    pub fn rows(&self, sql: &str) -> String {
        let rows: Vec<String> = self
            .run(sql)
            .rows
            .iter()
            .map(|row| {
                let cells: Vec<String> = row
                    .iter()
                    .map(|datum| match datum {
                        Datum::Int(number) => number.to_string(),
                        Datum::Decimal(digits) => digits.clone(),
                        Datum::Text(text) => text.clone(),
                        Datum::Null => "null".into(),
                        Datum::Date(date) => date.to_string(),
                        other => format!("{other:?}"),
                    })
                    .collect();
                cells.join("|")
            })
            .collect();
        rows.join(" ")
    }

    pub fn take_sent(&self) -> Vec<String> {
        std::mem::take(&mut self.sent.lock().unwrap())
    }
}

impl Warehouse for Live {
    fn query(
        &self,
        sql: &str,
        transaction: Transaction,
        fetch: Fetch,
    ) -> Result<QueryOutcome, QueryFailure> {
        if transaction == Transaction::AutoBegin {
            self.begin()?;
        }
        self.sent.lock().unwrap().push(sql.to_owned());
        let mut connection = self.connection.lock().unwrap();
        let answer = match fetch {
            Fetch::Rows => self.runtime.block_on(connection.fetch(sql)),
            Fetch::Nothing => self
                .runtime
                .block_on(connection.execute(sql))
                .map(|response| (response, Table::default())),
        };
        let (response, table) = answer.map_err(|error| {
            let code = match error.kind {
                AdapterErrorKind::Statement => Code::Database,
                _ => Code::Connection,
            };
            let mut diagnostic = Diagnostic::error(code, error.message);
            diagnostic.sql = Some(Arc::new(FailedSql {
                sql: sql.to_owned(),
                offset: error.offset,
            }));
            Box::new(diagnostic)
        })?;
        Ok(QueryOutcome {
            message: response.message,
            code: response.code,
            rows_affected: response.rows_affected,
            query_id: response.query_id,
            table,
        })
    }

    fn begin(&self) -> Result<(), QueryFailure> {
        let mut open = self.open.lock().unwrap();
        if !*open {
            *open = true;
            self.sent.lock().unwrap().push("begin".into());
            self.run("begin");
        }
        Ok(())
    }

    fn commit(&self) -> Result<(), QueryFailure> {
        if std::mem::take(&mut *self.open.lock().unwrap()) {
            self.sent.lock().unwrap().push("commit".into());
            self.run("commit");
        }
        Ok(())
    }

    fn rollback(&self) -> Result<(), QueryFailure> {
        if std::mem::take(&mut *self.open.lock().unwrap()) {
            self.sent.lock().unwrap().push("rollback".into());
            self.run("rollback");
        }
        Ok(())
    }

    fn load(&self, relation: &Relation, rows: &Table) -> Result<u64, QueryFailure> {
        let mut connection = self.connection.lock().unwrap();
        self.sent
            .lock()
            .unwrap()
            .push(format!("<load {} rows>", rows.rows.len()));
        Ok(self
            .runtime
            .block_on(connection.load(relation, rows))
            .unwrap())
    }

    fn cached_relations(&self, schema: &Relation) -> Option<Vec<Relation>> {
        let mut schema = schema.clone();
        schema.identifier = None;
        self.cache.lock().unwrap().get(&schema).cloned()
    }

    fn cache_relations(&self, schema: &Relation, relations: Vec<Relation>) {
        self.cache.lock().unwrap().insert(schema.clone(), relations);
    }

    fn note(&self, change: CacheChange) {
        let mut cache = self.cache.lock().unwrap();
        let known = cache.values_mut().next().unwrap();
        let name = |relation: &Relation| relation.identifier.clone();
        match change {
            CacheChange::Added(relation) => {
                known.retain(|other| name(other) != name(&relation));
                known.push(relation);
            }
            CacheChange::Dropped(relation) => known.retain(|other| name(other) != name(&relation)),
            CacheChange::Renamed(from, to) => {
                known.retain(|other| name(other) != name(&from));
                known.push(to);
            }
            CacheChange::SchemaDropped(_) => known.clear(),
        }
    }

    fn emit(&self, message: TemplateMessage) {
        self.said.lock().unwrap().push(message);
    }

    fn seed_rows(&self) -> Result<Arc<Table>, Box<Diagnostic>> {
        Ok(Arc::clone(&self.seed.lock().unwrap()))
    }
}

pub struct Names(pub &'static Dialect, pub String);

impl Resolver for Names {
    fn resolve_ref(&self, call: &RefCall) -> Result<Relation, Box<Diagnostic>> {
        Ok(Relation::new(self.0, database(self.0), &self.1, &call.name))
    }

    fn resolve_source(&self, call: &SourceCall) -> Result<Relation, Box<Diagnostic>> {
        Ok(Relation::new(
            self.0,
            database(self.0),
            &call.source,
            &call.table,
        ))
    }
}

pub fn database(dialect: &Dialect) -> &'static str {
    match dialect.name {
        "postgres" => "postgres",
        "snowflake" => "analytics",
        _ => "memory",
    }
}

pub fn engine(dialect: &Dialect) -> Engine {
    let project = MacroFile {
        package: "shop".into(),
        file: SourceFile::inline("macros/none.sql", ""),
    };
    let mut files = vec![project];
    files.extend(builtin::macro_files(dialect));
    let lookup = Lookup {
        root: "shop".into(),
        dialect: dialect.name.into(),
        builtin: builtin::packages(dialect),
        dispatch: IndexMap::new(),
    };
    let (engine, wrong) = Engine::new(&files, lookup);
    let wrong: Vec<String> = wrong.iter().map(|wrong| wrong.render(false)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    engine
}

pub fn facts(dialect: &'static Dialect, flags: Json) -> Arc<ProjectFacts> {
    let target = json!({"name": "dev", "schema": "main", "database": database(dialect), "type": dialect.name});
    Arc::new(ProjectFacts {
        project: "shop".into(),
        dialect,
        target: target.as_object().cloned().unwrap(),
        profile: "shop".into(),
        cli_vars: Map::new(),
        package_vars: IndexMap::new(),
        flags: flags.as_object().cloned().unwrap(),
        invocation_id: "0".into(),
        run_started_at: "2024-05-06T07:08:09Z[UTC]".parse().unwrap(),
        environment: BTreeMap::new(),
        invocation_args: Map::new(),
    })
}

/// A project of one schema on a real database, whose nodes are built one at a time.
pub struct House {
    pub dialect: &'static Dialect,
    pub schema: String,
    pub live: Arc<Live>,
    pub engine: Engine,
    pub flags: Json,
    pub graph: Json,
}

impl House {
    pub fn new(dialect: &'static Dialect, schema: &str) -> House {
        House {
            dialect,
            schema: schema.into(),
            live: Live::new(dialect, schema),
            engine: engine(dialect),
            flags: json!({"FULL_REFRESH": false, "STORE_FAILURES": false}),
            graph: json!({"nodes": {}, "sources": {}}),
        }
    }

    pub fn relation(&self, name: &str) -> Relation {
        Relation::new(self.dialect, database(self.dialect), &self.schema, name)
    }

    pub fn scope(
        &self,
        name: &str,
        config: &Json,
        extra: Vec<(&'static str, Value)>,
    ) -> (Scope, Arc<NodeState>) {
        let graph = self.graph.clone();
        let config = config.as_object().unwrap().clone();
        let materialized = config["materialized"].as_str();
        let kind = materialized
            .filter(|kind| ["test", "seed"].contains(kind))
            .unwrap_or("model");
        let columns = json!({"id": {"name": "id", "description": "it's the key"}});
        let (root, state) = execute_context(
            &facts(self.dialect, self.flags.clone()),
            ExecuteScope {
                package: "shop".into(),
                this: Some(self.relation(name)),
                model: json!({"name": name, "resource_type": kind, "config": config, "description": "what it is", "columns": columns}).into(),
                config: Arc::new(move |key| config.get(key).cloned()),
                graph: Arc::new(move || graph.clone()),
                resolver: Arc::new(Names(self.dialect, self.schema.clone())),
                warehouse: Arc::clone(&self.live) as Arc<dyn Warehouse>,
                partition: None,
                extra,
            },
        );
        let scope = Scope {
            package: "shop".into(),
            root,
        };
        (scope, state)
    }

    /// Renders a template and runs its materialization; returns what was sent and the response.
    pub fn try_build(
        &self,
        name: &str,
        config: &Json,
        template: &str,
    ) -> Result<QueryOutcome, Box<Diagnostic>> {
        let (scope, _) = self.scope(name, config, Vec::new());
        let file = SourceFile::inline("models/a.sql", template);
        let compiled = self.engine.compile(&file)?;
        let sql = self.engine.render(&compiled, &scope)?;
        let hooks = |key: &str| context::hook_values(config.get(key));
        let extra = vec![
            ("sql", Value::from(sql.as_str())),
            ("compiled_code", Value::from(sql.as_str())),
            ("pre_hooks", hooks("pre-hook")),
            ("post_hooks", hooks("post-hook")),
        ];
        let (scope, state) = self.scope(name, config, extra);
        let materialized = config["materialized"].as_str().unwrap();
        let found = self.engine.find_materialization(materialized).unwrap();
        let called = format!("{}.{}", found.package, found.name);
        let returned = self.engine.call(&called, &[], &[], &scope);
        if returned.is_err() {
            self.live.rollback().unwrap();
        }
        for relation in context::materialized_relations(&returned?) {
            self.live.note(CacheChange::Added(relation));
        }
        for statement in self.live.sent.lock().unwrap().iter() {
            // What sqlparser does not know of a dialect is not generated SQL's fault.
            if !statement.starts_with('<') {
                sql::parse(self.dialect, statement).unwrap_or_else(|wrong| {
                    panic!(
                        "{}: {} at {}:{}\n{statement}",
                        self.dialect.name, wrong.message, wrong.line, wrong.column
                    )
                });
            }
        }
        Ok(state.result("main").unwrap())
    }

    pub fn build(&self, name: &str, config: Json, template: &str) -> QueryOutcome {
        self.try_build(name, &config, template)
            .unwrap_or_else(|wrong| {
                let sql = wrong.sql.as_ref().map(|failed| failed.sql.clone());
                panic!("{}\n{}", wrong.render(false), sql.unwrap_or_default())
            })
    }

    pub fn rows(&self, sql: &str) -> String {
        self.live.rows(&sql.replace("@", &self.schema))
    }

    /// What was sent since the last call.
    pub fn sent(&self) -> String {
        self.live
            .take_sent()
            .join(";\n\n")
            .replace(&format!("{}_", self.schema), "")
    }
}
