//! What templates see of the context, compared with what dbt 1.11 on Python prints.

use super::*;
use crate::diagnostic::Code;
use crate::dialect::{DUCKDB, SNOWFLAKE};
use crate::jinja::language::{Engine, Lookup, Scope};
use crate::jinja::port::TemplateMessage;
use crate::source::SourceFile;
use crate::table::{Datum, ResultColumn, Table};
use serde_json::json;

fn facts(dialect: &'static Dialect) -> Arc<ProjectFacts> {
    let map = |value: Json| value.as_object().cloned().expect("a mapping");
    let own = map(json!({"shared": "package's", "own": 3, "lib": {"scoped": 4}}));
    let root = map(json!({"shared": "root's", "lib": {"scoped": 5, "shared": "for lib"}}));
    Arc::new(ProjectFacts {
        project: "shop".into(),
        dialect,
        target: map(json!({"name": "dev", "schema": "main", "threads": 4})),
        profile: "shop".into(),
        cli_vars: map(json!({"given": [1, 2]})),
        package_vars: [("shop".into(), root), ("lib".into(), own)]
            .into_iter()
            .collect(),
        flags: map(json!({"FULL_REFRESH": true, "WHICH": "run"})),
        invocation_id: "abc".into(),
        run_started_at: "2024-05-06T07:08:09.5Z[UTC]".parse().expect("a moment"),
        environment: [
            ("HOME", "/root"),
            ("DBT_ENV_SECRET_X", "s"),
            ("DBT_ENV_CUSTOM_ENV_A", "b"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect(),
        invocation_args: map(json!({"which": "run"})),
    })
}

fn engine() -> Engine {
    let (engine, wrong) = Engine::new(&[], Lookup::default());
    assert!(wrong.is_empty());
    engine
}

struct Nowhere;

impl Resolver for Nowhere {
    fn resolve_ref(&self, call: &crate::jinja::RefCall) -> Result<Relation, Box<Diagnostic>> {
        Err(Box::new(Diagnostic::error(
            Code::UnknownRef,
            format!("no model named `{}`", call.name),
        )))
    }

    fn resolve_source(&self, call: &crate::jinja::SourceCall) -> Result<Relation, Box<Diagnostic>> {
        Ok(Relation::new(&DUCKDB, "db", &call.source, &call.table))
    }
}

fn root_of(dialect: &'static Dialect, package: &str) -> Value {
    let config = json!({"materialized": "table", "pre-hook": ["a"], "meta": {"owner": "me"}, "persist_docs": {"columns": true}});
    let config = config.as_object().cloned().expect("a mapping");
    let (root, _) = execute_context(
        &facts(dialect),
        ExecuteScope {
            package: package.into(),
            this: Some(Relation::new(dialect, "db", "main", "me")),
            model: json!({"name": "me", "resource_type": "model", "tags": ["x"]}).into(),
            config: Arc::new(move |key| config.get(key).cloned()),
            graph: Arc::new(|| json!({"nodes": {"model.shop.me": {"name": "me"}}})),
            resolver: Arc::new(Nowhere),
            warehouse: Arc::new(NoWarehouse),
            partition: None,
            extra: vec![("sql", Value::from("select 1"))],
        },
    );
    root
}

fn render_in(root: Value, text: &str) -> Result<String, Box<Diagnostic>> {
    let engine = engine();
    let template = engine.compile(&SourceFile::inline("models/me.sql", text))?;
    let scope = Scope {
        package: "shop".into(),
        root,
    };
    engine.render(&template, &scope)
}

fn render(text: &str) -> String {
    render_in(root_of(&DUCKDB, "shop"), text)
        .unwrap_or_else(|wrong| panic!("{text}\n{}", wrong.render(false)))
}

fn refused(text: &str) -> Box<Diagnostic> {
    render_in(root_of(&DUCKDB, "shop"), text).expect_err(text)
}

fn check(cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        assert_eq!(
            render(&format!("{{{{ {expression} }}}}")),
            *expected,
            "{expression}"
        );
    }
}

#[test]
fn a_relation_is_a_mapping_that_packages_know_by_its_type() {
    check(&[
        ("this is mapping and this is not string", "True"),
        (
            "this.get('metadata', {}).get('type', '').endswith('Relation')",
            "True",
        ),
        ("1 if this else 2", "1"),
        ("1 if not this else 2", "2"),
    ]);
}

#[test]
fn a_variable_may_be_a_template() {
    let mut known = ProjectFacts::clone(&facts(&DUCKDB));
    let vars = json!({"name": "{{ 'a' ~ 1 }}", "plain": "a { b"});
    known.cli_vars = vars.as_object().cloned().expect("a mapping");
    let root = yaml_context(&Arc::new(known), "shop");
    let text = "{{ var('name') }} {{ var('plain') }}";
    assert_eq!(render_in(root, text).expect("it renders"), "a1 a { b");
}

#[test]
fn the_parser_takes_parts_of_what_a_query_would_have_given() {
    let text = "{% set rows = load_result('main') %}{{ rows['data'][0][0] }}{{ ref('a') }}";
    let scope = ParseScope {
        package: "shop".into(),
        this: Relation::new(&DUCKDB, "db", "main", "me"),
        model: json!({"name": "me"}),
        config: IndexMap::new(),
    };
    let (root, collected) = parse_context(&facts(&DUCKDB), scope);
    render_in(root, text).expect("it renders");
    assert_eq!(node::lock(&collected).refs.len(), 1);
    assert_eq!(
        refused("{% set rows = {} %}{{ rows['data'][0] }}").message,
        "`rows['data']` is undefined"
    );
}

#[test]
fn names_of_the_context() {
    check(&[
        ("this", "\"db\".\"main\".\"me\""),
        ("execute", "True"),
        (
            "project_name ~ ' ' ~ dbt_version ~ ' ' ~ invocation_id",
            "shop 1.11.16 abc",
        ),
        ("target.threads + 1", "5"),
        ("target", "{'name': 'dev', 'schema': 'main', 'threads': 4}"),
        ("flags.FULL_REFRESH and flags.which == 'run'", "True"),
        ("model.tags + ['y']", "['x', 'y']"),
        (
            "graph.nodes.values() | map(attribute='name') | list",
            "['me']",
        ),
        ("sql", "select 1"),
        ("run_started_at", "2024-05-06 07:08:09.500000+00:00"),
        ("run_started_at.strftime('%Y-%m-%d')", "2024-05-06"),
        ("env_var('HOME') ~ env_var('NOPE', 'x')", "/rootx"),
        ("dbt_metadata_envs", "{'A': 'b'}"),
        ("invocation_args_dict", "{'which': 'run'}"),
        ("source('raw', 't')", "\"db\".\"raw\".\"t\""),
        ("builtins.source('raw', 't')", "\"db\".\"raw\".\"t\""),
        ("nothing is defined", "False"),
    ]);
}

#[test]
fn variables_come_from_the_nearest() {
    check(&[
        ("var('given')", "[1, 2]"),
        ("var('shared')", "root's"),
        ("var('nope', 7)", "7"),
        ("var.has_var('given') and not var.has_var('nope')", "True"),
    ]);
    let lib = |text| render_in(root_of(&DUCKDB, "lib"), text).expect(text);
    assert_eq!(
        lib("{{ var('shared') }} {{ var('own') }} {{ var('scoped') }}"),
        "for lib 3 5"
    );
    let wrong = refused("{{ var('givn') }}");
    assert_eq!(wrong.code, Code::MissingVar);
    assert_eq!(wrong.help.as_deref(), Some("a variable `given` is defined"));
    assert_eq!(refused("{{ env_var('HOMF') }}").code, Code::MissingEnvVar);
    assert!(
        refused("{{ env_var('DBT_ENV_SECRET_X') }}")
            .message
            .contains("profiles.yml only")
    );
}

#[test]
fn configs_have_dbt_defaults() {
    check(&[
        ("config.get('materialized')", "table"),
        ("config.get('pre_hook')", "['a']"),
        ("config.get('unique_key', 'x')", "None"),
        ("config.get('mine', 'x') ~ config.get('mine')", "xNone"),
        ("config.get('tags')", "[]"),
        ("config.meta_get('owner')", "me"),
        (
            "config.persist_relation_docs() ~ config.persist_column_docs()",
            "FalseTrue",
        ),
        (
            "config(materialized='view') ~ config.get('materialized')",
            "table",
        ),
    ]);
    assert_eq!(
        refused("{{ config.require('mine') }}").code,
        Code::BadConfig
    );
}

#[test]
fn relations_and_columns() {
    check(&[
        (
            "this.database ~ this.schema ~ this.identifier ~ this.name ~ this.table",
            "dbmainmememe",
        ),
        ("this.type", "None"),
        ("this.incorporate(type='view').is_view", "True"),
        ("this.include(database=false)", "\"main\".\"me\""),
        ("this.quote(identifier=false)", "\"db\".\"main\".me"),
        ("this.without_identifier()", "\"db\".\"main\""),
        (
            "this.replace_path(identifier='x') ~ ''",
            "\"db\".\"main\".\"x\"",
        ),
        ("this.incorporate(path={'schema': none})", "\"db\".\"me\""),
        (
            "this.information_schema('tables')",
            "\"db\".information_schema.tables",
        ),
        ("this.render() | upper", "\"DB\".\"MAIN\".\"ME\""),
        ("this | replace('me', 'you')", "\"db\".\"main\".\"you\""),
        (
            "this == api.Relation.create(database='db', schema='main', identifier='me')",
            "True",
        ),
        ("this in [this]", "True"),
        // How dbt_utils tells a relation from a string.
        (
            "this is mapping and this.get('metadata', {}).get('type', '').endswith('Relation')",
            "True",
        ),
        (
            "api.Relation.create(identifier='x', type='cte')",
            "__dbt__cte__x",
        ),
        (
            "api.Relation.create(schema='s', identifier='x', quote_policy={'identifier': false})",
            "\"s\".x",
        ),
        ("adapter.quote('a\"b') ~ adapter.type()", "\"a\"\"b\"duckdb"),
        (
            "api.Column('a', 'varchar', 10).data_type",
            "character varying(10)",
        ),
        (
            "api.Column('a', 'text').data_type ~ api.Column('a', 'text').string_size()",
            "text256",
        ),
        (
            "api.Column('a', 'numeric', none, 10, 2).data_type",
            "numeric(10,2)",
        ),
        (
            "api.Column('a', 'varchar', 5).can_expand_to(api.Column('a', 'varchar', 9))",
            "True",
        ),
        (
            "api.Column('a b', 'bigint').quoted ~ api.Column('a', 'bigint').is_integer()",
            "\"a b\"True",
        ),
        (
            "api.Column.translate_type('string') ~ api.Column.numeric_type('numeric', 28, 6)",
            "TEXTnumeric(28,6)",
        ),
    ]);
    let snowflake = render_in(
        root_of(&SNOWFLAKE, "shop"),
        "{{ this }} {{ adapter.quote_as_configured('a', 'schema') }}",
    );
    assert_eq!(snowflake.expect("it renders"), "db.main.me a");
    assert_eq!(
        refused("{{ this.incorporate(type='nonsense') }}").code,
        Code::JinjaRender
    );
    assert_eq!(
        refused("{{ adapter.get_catalog() }}").code,
        Code::Unsupported
    );
}

#[test]
fn plain_functions() {
    check(&[
        (
            "tojson({'a': [1, 2.0, none], 'ü': true})",
            "{\"a\": [1, 2.0, null], \"\\u00fc\": true}",
        ),
        ("fromjson('{\"a\": [1]}').a[0] + 1", "2"),
        ("fromjson('{', 'no')", "no"),
        ("fromyaml('a: [1, yes]')", "{'a': [1, True]}"),
        (
            "toyaml({'a': [1, {'b': 'x: y'}], 'c': {}})",
            "a:\n- 1\n- b: 'x: y'\nc: {}\n",
        ),
        ("set([1, 2, 1])", "[1, 2]"),
        ("zip([1, 2], ['a', 'b']) | list", "[(1, 'a'), (2, 'b')]"),
        ("zip(1, default='no')", "no"),
        ("local_md5('a')", "0cc175b9c0f1b6a831c399e269772661"),
        (
            "diff_of_two_dicts({'select': ['A', 'b']}, {'SELECT': ['a']})",
            "{'select': ['b']}",
        ),
        (
            "adapter.valid_incremental_strategies()",
            "['append', 'delete+insert', 'merge']",
        ),
    ]);
    assert_eq!(
        refused("{{ exceptions.raise_compiler_error('bad ' ~ 1) }}").message,
        "bad 1"
    );
    assert_eq!(refused("{{ ref('nope') }}").code, Code::UnknownRef);
    assert_eq!(refused("{{ ref() }}").code, Code::WrongArguments);
    assert_eq!(
        refused("{{ try_or_compiler_error('said', ref, 'nope') }}").message,
        "said"
    );
    assert_eq!(refused("{{ submit_python_job() }}").code, Code::Unsupported);
}

#[test]
fn dates_behave_as_in_python() {
    let cases: Vec<(String, &str)> = [
        ("datetime(2024, 2, 29, 13, 5, 6, 7)", "2024-02-29 13:05:06.000007"),
        ("datetime(2024, 2, 29).isoformat()", "2024-02-29T00:00:00"),
        ("date(2024, 2, 29) + D.timedelta(days=1)", "2024-03-01"),
        ("datetime(2024, 1, 1) - D.timedelta(hours=1, minutes=30)", "2023-12-31 22:30:00"),
        ("timedelta(days=1) + D.datetime(2024, 1, 1)", "2024-01-02 00:00:00"),
        ("(date(2024, 3, 1) - D.date(2024, 1, 1)).days", "60"),
        ("timedelta(days=-1, hours=2)", "-1 day, 2:00:00"),
        ("timedelta(days=2).total_seconds()", "172800.0"),
        ("timedelta(hours=1) * 3", "3:00:00"),
        ("date(2024, 1, 1) < D.date(2024, 1, 2)", "True"),
        ("datetime.strptime('20240229 01:02', '%Y%m%d %H:%M')", "2024-02-29 01:02:00"),
        ("datetime.strptime('Feb 3, 24 PM 1', '%b %d, %y %p %I').strftime('%A %d %B %j %H %U %W')", "Saturday 03 February 034 13 04 05"),
        ("datetime.fromisoformat('2024-01-02T03:04:05+02:00')", "2024-01-02 03:04:05+02:00"),
        ("date.fromisoformat('2024-01-02').isocalendar()", "(2024, 1, 2)"),
        ("datetime(2024, 1, 31).replace(month=3, hour=4)", "2024-03-31 04:00:00"),
        ("datetime.fromtimestamp(0, tz=modules.pytz.utc)", "1970-01-01 00:00:00+00:00"),
        ("datetime.combine(D.date(2024, 1, 2), D.time(3, 4))", "2024-01-02 03:04:00"),
        ("datetime.now().year > 2000 and D.date.today() > D.date(2000, 1, 1)", "True"),
    ]
    .iter()
    .map(|(text, expected)| {
        // The first name of a case stands in the module.
        let text = match text.strip_prefix('(') {
            Some(rest) => format!("(modules.datetime.{rest}"),
            None => format!("modules.datetime.{text}"),
        };
        (text.replace("D.", "modules.datetime."), *expected)
    })
    .collect();
    for (text, expected) in &cases {
        check(&[(text, expected)]);
    }
    check(&[
        (
            "modules.pytz.timezone('Europe/Berlin').localize(modules.datetime.datetime(2024, 7, 1)).isoformat()",
            "2024-07-01T00:00:00+02:00",
        ),
        (
            "run_started_at.astimezone(modules.pytz.timezone('America/New_York')).strftime('%H:%M %Z %z')",
            "03:08 EDT -0400",
        ),
        (
            "modules.datetime.datetime(2024, 1, 1).replace(tzinfo=modules.pytz.utc).timestamp()",
            "1704067200.0",
        ),
    ]);
    let wrong = refused("{{ modules.datetime.datetime.strptime('x', '%Y') }}");
    assert_eq!(wrong.message, "time data 'x' does not match format '%Y'");
    assert_eq!(
        refused("{{ modules.datetime.date(2024, 2, 30) }}").message,
        "the date is out of range"
    );
}

#[test]
fn regular_expressions_behave_as_in_python() {
    check(&[
        (
            "modules.re.match('a(b)?(?P<n>c)', 'acd').groups()",
            "(None, 'c')",
        ),
        ("modules.re.match('b', 'ab') is none", "True"),
        ("modules.re.search('b', 'ab').span()", "(1, 2)"),
        (
            "modules.re.search('(?P<n>b)', 'ab').groupdict()",
            "{'n': 'b'}",
        ),
        ("modules.re.fullmatch('a+', 'aab') is none", "True"),
        ("modules.re.findall('[a-z]+', 'ab 1 cd')", "['ab', 'cd']"),
        (
            "modules.re.findall('(a)(b)', 'abab')",
            "[('a', 'b'), ('a', 'b')]",
        ),
        ("modules.re.split('[,;]', 'a,b;c')", "['a', 'b', 'c']"),
        ("modules.re.sub('(a)(b)', '\\\\2\\\\g<1>', 'xab')", "xba"),
        ("modules.re.sub('a', 'b', 'aaa', 2)", "bba"),
        (
            "modules.re.sub('A', 'b', 'aA', flags=modules.re.IGNORECASE)",
            "bb",
        ),
        (
            "modules.re.compile('^a', modules.re.I).match('Abc').group()",
            "A",
        ),
        ("modules.re.escape('a.b')", "a\\.b"),
        ("modules.re.search('ü', 'aüb').start()", "1"),
    ]);
    assert_eq!(
        refused("{{ modules.re.match('(', 'a') }}").code,
        Code::JinjaRender
    );
}

#[test]
fn itertools_give_lists() {
    check(&[
        (
            "modules.itertools.product([1, 2], 'ab') | list",
            "[(1, 'a'), (1, 'b'), (2, 'a'), (2, 'b')]",
        ),
        ("modules.itertools.product([0, 1], repeat=2) | length", "4"),
        ("modules.itertools.chain([1], [2, 3]) | list", "[1, 2, 3]"),
        (
            "modules.itertools.chain.from_iterable([[1], [2]]) | list",
            "[1, 2]",
        ),
        (
            "modules.itertools.combinations([1, 2, 3], 2) | list",
            "[(1, 2), (1, 3), (2, 3)]",
        ),
        (
            "modules.itertools.permutations([1, 2]) | list",
            "[(1, 2), (2, 1)]",
        ),
        (
            "modules.itertools.zip_longest([1, 2], ['a']) | list",
            "[(1, 'a'), (2, None)]",
        ),
        (
            "modules.itertools.accumulate([1, 2, 3]) | list",
            "[1, 3, 6]",
        ),
        (
            "modules.itertools.islice([1, 2, 3, 4], 1, 3) | list",
            "[2, 3]",
        ),
    ]);
    assert_eq!(
        refused("{{ modules.itertools.count() }}").code,
        Code::Unsupported
    );
}

#[test]
fn tables_are_walked_by_rows_and_columns() {
    let column = |name: &str| ResultColumn {
        name: name.into(),
        data_type: "integer".into(),
    };
    let table = Table {
        columns: vec![column("id"), column("values")],
        rows: vec![
            vec![Datum::Int(2), Datum::Text("b".into())],
            vec![Datum::Int(1), Datum::Null],
            vec![Datum::Int(2), Datum::Text("b".into())],
        ],
    };
    let entries = [(Value::from("t"), table_value(Arc::new(table)))];
    let root = crate::jinja::language::dict(entries);
    for (expression, expected) in [
        ("(t.rows | length) ~ (t | length)", "33"),
        ("t.column_names", "('id', 'values')"),
        ("t.columns[0].values()", "(2, 1, 2)"),
        (
            "t.columns['id'].values_distinct() ~ t.columns['values'].name",
            "(2, 1)values",
        ),
        ("t.rows[0]['id'] ~ t.rows[0][1] ~ t[1].id", "2b1"),
        (
            "t.rows[1].values() ~ t.rows[0].dict()",
            "(1, None){'id': 2, 'values': 'b'}",
        ),
        ("t.rows | map(attribute='id') | join(',')", "2,1,2"),
        ("t.order_by('id').columns[0].values()", "(1, 2, 2)"),
        ("t.limit(1).rows | length", "1"),
        ("t.distinct('id').rows | length", "2"),
        (
            "t.exclude(['id']).column_names ~ t.select('id').column_names",
            "('values',)('id',)",
        ),
        (
            "t.rename(column_names={'id': 'key'}).column_names",
            "('key', 'values')",
        ),
        (
            "t.limit(1).print_table()",
            "| id | values |\n| -- | ------ |\n| 2  | b      |\n",
        ),
    ] {
        let text = render_in(root.clone(), &format!("{{{{ {expression} }}}}"));
        assert_eq!(
            text.unwrap_or_else(|wrong| panic!("{}", wrong.render(false))),
            expected,
            "{expression}"
        );
    }
}

#[derive(Default)]
struct Listening(Mutex<Vec<String>>);

impl Warehouse for Listening {
    fn query(
        &self,
        sql: &str,
        transaction: crate::jinja::port::Transaction,
        fetch: crate::jinja::Fetch,
    ) -> Result<QueryOutcome, crate::jinja::QueryFailure> {
        NoWarehouse.query(sql, transaction, fetch)
    }

    fn begin(&self) -> Result<(), crate::jinja::QueryFailure> {
        Ok(())
    }

    fn commit(&self) -> Result<(), crate::jinja::QueryFailure> {
        Ok(())
    }

    fn rollback(&self) -> Result<(), crate::jinja::QueryFailure> {
        Ok(())
    }

    fn load(&self, _: &Relation, _: &Table) -> Result<u64, crate::jinja::QueryFailure> {
        Ok(0)
    }

    fn cached_relations(&self, _: &Relation) -> Option<Vec<Relation>> {
        None
    }

    fn cache_relations(&self, _: &Relation, _: Vec<Relation>) {}

    fn note(&self, _: crate::jinja::port::CacheChange) {}

    fn emit(&self, message: TemplateMessage) {
        let text = match message {
            TemplateMessage::Log { text, info } => format!("log {text} {info}"),
            TemplateMessage::Print(text) => format!("print {text}"),
            TemplateMessage::Warning(diagnostic) => format!("warn {}", diagnostic.message),
        };
        self.0.lock().expect("no panic").push(text);
    }

    fn seed_rows(&self) -> Result<Arc<Table>, Box<Diagnostic>> {
        NoWarehouse.seed_rows()
    }
}

#[test]
fn templates_speak_and_keep_results() {
    let listening = Arc::new(Listening::default());
    let (root, state) = execute_context(
        &facts(&DUCKDB),
        ExecuteScope {
            package: "shop".into(),
            this: None,
            model: Json::Null.into(),
            config: Arc::new(|_| None),
            graph: Arc::new(|| json!({})),
            resolver: Arc::new(Nowhere),
            warehouse: Arc::clone(&listening) as Arc<dyn Warehouse>,
            partition: None,
            extra: Vec::new(),
        },
    );
    let text = "{{ log('a', info=true) }}{{ print([1]) }}{{ exceptions.warn('w') }}
{%- do store_raw_result('main', message='INSERT 3', code='INSERT', rows_affected=3) -%}
{%- do write(' insert ') -%}
{{ load_result('main').response }} {{ load_result('main')['response'].rows_affected }} {{ load_result('x') is none }}";
    assert_eq!(
        render_in(root, text).expect("it renders"),
        "INSERT 3 3 True"
    );
    assert_eq!(
        *listening.0.lock().expect("no panic"),
        ["log a true", "print [1]", "warn w"]
    );
    let main = state.result("main").expect("a result");
    assert_eq!(
        (main.code.as_str(), main.rows_affected),
        ("INSERT", Some(3))
    );
    assert_eq!(state.written().as_deref(), Some("insert"));
}

#[test]
fn yaml_and_descriptions_have_no_database() {
    let facts = facts(&DUCKDB);
    let yaml = yaml_context(&facts, "shop");
    let text = "{{ target.name }} {{ var('shared') }} {{ ref is defined }} {{ doc is defined }}";
    assert_eq!(
        render_in(yaml.clone(), text).expect("it renders"),
        "dev root's False False"
    );
    assert_eq!(
        render_in(yaml, "{{ var('nope') }}")
            .expect_err("missing")
            .code,
        Code::MissingVar
    );
    let docs: DocsLookup = Arc::new(|package, name| Ok(format!("{package:?} {name}").into()));
    let docs = docs_context(&facts, "shop", docs);
    let text = "{{ doc('a') }} {{ doc('lib', 'b') }}";
    assert_eq!(
        render_in(docs, text).expect("it renders"),
        "None a Some(\"lib\") b"
    );
    let mut profile = ProjectFacts::clone(&facts);
    profile.target.clear();
    let profile = yaml_context(&Arc::new(profile), "shop");
    assert_eq!(
        render_in(profile, "{{ env_var('DBT_ENV_SECRET_X') }}").expect("it renders"),
        "s"
    );
}
