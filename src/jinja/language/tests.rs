//! Renderings compared with what Jinja2 3.1 on Python prints.

use std::sync::Arc;

use super::python_cases::PYTHON;
use super::*;
use crate::diagnostic::{Code, Diagnostic};
use minijinja::State;
use minijinja::value::{Object, ObjectRepr};

fn file(package: &str, path: &str, text: &str) -> MacroFile {
    MacroFile {
        package: Arc::from(package),
        file: SourceFile::inline(path, text),
    }
}

fn engine(files: &[MacroFile]) -> Engine {
    let lookup = Lookup {
        root: Arc::from("shop"),
        dialect: Arc::from("toy"),
        builtin: vec![Arc::from("dbt_toy"), Arc::from("dbt")],
        dispatch: IndexMap::new(),
    };
    let (engine, diagnostics) = Engine::new(files, lookup);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    engine
}

fn scope(root: Value) -> Scope {
    Scope {
        package: Arc::from("shop"),
        root,
    }
}

fn render(engine: &Engine, text: &str, root: Value) -> Result<String, Box<Diagnostic>> {
    let template = engine.compile(&SourceFile::inline("models/a.sql", text))?;
    engine.render(&template, &scope(root))
}

fn fault(engine: &Engine, text: &str) -> String {
    let root = dict([
        (Value::from("target"), dict([])),
        (Value::from("fail"), Value::from_function(fail)),
        (Value::from("model_name"), Value::from("a")),
    ]);
    let diagnostic = render(engine, text, root).expect_err("it should fail");
    diagnostic.render(false)
}

fn fail(message: &str) -> Result<Value, minijinja::Error> {
    Err(raise(
        Diagnostic::error(Code::CompilerError, message).help("do not fail"),
    ))
}

#[test]
fn templates_render_as_on_python() {
    let engine = engine(&[]);
    let mut wrong = Vec::new();
    for (template, expected) in PYTHON {
        let rendered = match render(&engine, template, dict([])) {
            Ok(text) => text,
            Err(diagnostic) => diagnostic.render(false),
        };
        if rendered.trim() != expected.trim() {
            wrong.push(format!(
                "{template}\n  python: {expected}\n  ours:   {rendered}\n"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn macros_return_values_and_call_each_other_across_files() {
    let engine = engine(&[
        file(
            "shop",
            "macros/a.sql",
            "{% macro columns() %}{{ return(['a', 'b']) }}{% endmacro %}
             {% macro twice(x) %}{% do return(x * 2) %}never{% endmacro %}
             {% macro shout(x, mark='!') %}{{ utils.upper(x) }}{{ mark }}{% endmacro %}
             {% macro overridden() %}mine{% endmacro %}
             {% macro late(a, b=a ~ '_id') %}{{ b }}{% endmacro %}
             {% macro default__pick(x) %}default {{ x }}{% endmacro %}
             {% macro toy__pick(x) %}toy {{ x }}{% endmacro %}",
        ),
        file("utils", "macros/u.sql", "{% macro upper(x) %}{{ x | upper }}{% endmacro %}"),
        file(
            "dbt",
            "macros/b.sql",
            "{% macro overridden() %}built in{% endmacro %}
             {% macro asks() %}{{ overridden() }}{% endmacro %}
             {% macro outer() %}{% call inner() %}{% do return([1]) %}{% endcall %}text{% endmacro %}
             {% macro inner() %}({{ caller() }}){% endmacro %}
             {% macro statement(name) %}{{ name }}<{{ caller() }}>{% endmacro %}",
        ),
    ]);
    for (template, expected) in [
        (
            "{{ columns()[1] }} {% for c in columns() %}{{ c }}{% endfor %}",
            "b ab",
        ),
        ("{% set x = twice(4) %}{{ x + 1 }}", "9"),
        ("{{ shout('hi') }} {{ shout('hi', mark='?') }}", "HI! HI?"),
        (
            "{{ overridden() }} {{ asks() }} {{ dbt.asks() }} {{ dbt.overridden() }}",
            "mine mine mine built in",
        ),
        (
            "{{ late('x') }} {{ late('x', 'y') }} {{ late(b=1, a=2) }}",
            "x_id y 1",
        ),
        ("{{ dispatch('pick')('x') }}", "toy x"),
        ("{{ outer() }}", "[1]text"),
        (
            "{% call statement('main') %}select {{ x }}{% endcall %}",
            "main<select 5>",
        ),
        (
            "{{ context['twice'](2) }} {{ context.get('x') }} {{ context.get('zzz', 'none') }}",
            "4 5 none",
        ),
        (
            "{% set f = twice %}{{ f(3) }} {{ f.name }} {{ 'yes' if f }} {{ f is callable }}",
            "6 twice yes True",
        ),
        (
            "{{ utils.upper is defined }} {{ utils.nothing is defined }}",
            "True False",
        ),
        ("{% if context.nothing %}a{% else %}b{% endif %}", "b"),
    ] {
        let root = dict([
            (Value::from("x"), Value::from(5)),
            (
                Value::from("dispatch"),
                Value::from_function(|state: &State, name: &str| dispatch(state, name, None)),
            ),
        ]);
        let rendered = render(&engine, template, root).unwrap_or_else(|error| error.render(false));
        assert_eq!(rendered, expected, "{template}");
    }
    let value = engine.call(
        "shop.twice",
        &[],
        &[("x", Value::from(4))],
        &scope(dict([])),
    );
    assert_eq!(value.expect("a value"), Value::from(8));
}

#[test]
fn blocks_of_dbt_become_macros() {
    let engine = engine(&[
        file(
            "dbt",
            "m.sql",
            "{% docs x %}{{ broken {% enddocs %}
             {% materialization table, default %}{{ return({'relations': []}) }}{% endmaterialization %}
             {% materialization table, adapter='toy', supported_languages=['sql', 'python'] -%}x{% endmaterialization %}
             {% test unique(model, column_name) %}{{ adapter.dispatch('test_unique', 'dbt')(model) }}{{ run_query('x') }}{% endtest %}
             {% data_test empty %}x{% enddata_test %}",
        ),
        file("shop", "t.sql", "{% materialization table, default %}mine{% endmaterialization %}"),
    ]);
    let names: Vec<&str> = engine.macros().iter().map(|info| &*info.name).collect();
    assert_eq!(
        names,
        [
            "materialization_table_default",
            "materialization_table_toy",
            "test_unique",
            "test_empty",
            "materialization_table_default",
        ]
    );
    let table = engine
        .find_materialization("table")
        .expect("one for the dialect");
    assert_eq!(
        (&*table.name, &*table.package),
        ("materialization_table_toy", "dbt")
    );
    assert_eq!(table.languages, ["sql", "python"]);
    let unique = engine.find("shop", "test_unique").expect("a test");
    assert_eq!(unique.calls, ["test_unique", "run_query"]);
    assert_eq!(
        unique.dispatches,
        [("test_unique".to_owned(), Some("dbt".to_owned()))]
    );
    assert_eq!(unique.arguments, ["model", "column_name"]);
}

#[test]
fn docs_and_snapshots_are_found() {
    let docs = SourceFile::inline(
        "a.md",
        "# x\n{# {% docs no %}{% enddocs %} #}{% docs a %}\n one {{ two }}\n{% enddocs %} {% docs b %}{%enddocs%}",
    );
    let blocks: Vec<_> = docs_blocks(&docs)
        .into_iter()
        .map(|(name, text, _)| (name, text))
        .collect();
    assert_eq!(
        blocks,
        [
            ("a".to_owned(), "one {{ two }}".to_owned()),
            ("b".to_owned(), String::new())
        ]
    );
    let engine = engine(&[]);
    let snapshots = engine
        .compile_snapshots(&SourceFile::inline(
            "s.sql",
            "{% snapshot s %}select {{ 1 + 1 }}{% endsnapshot %}",
        ))
        .expect("it parses");
    assert_eq!(snapshots[0].name, "s");
    let text = engine
        .render(&snapshots[0].template, &scope(dict([])))
        .expect("it renders");
    assert_eq!(text, "select 2");
}

#[test]
fn a_located_call_knows_its_place() {
    let engine = engine(&[file(
        "shop",
        "macros/ref.sql",
        "{% macro ref(name) %}{{ builtins.ref(name) }}{% endmacro %}",
    )]);
    let place = Value::from_function(|state: &State, _: &str| {
        call_span(state).map_or_else(String::new, |span| format!("{span:?}"))
    });
    let root = dict([
        (Value::from("source"), place.clone()),
        (Value::from("builtins"), dict([(Value::from("ref"), place)])),
    ]);
    let text = render(&engine, "select\n  {{ source('a') }}\n{{ ref('b') }}", root);
    assert_eq!(
        text.expect("it renders"),
        "select\n  models/a.sql:2:6\nmodels/a.sql:3:4"
    );
}

#[test]
fn scalars_keep_their_type_as_in_dbt() {
    let engine = engine(&[]);
    let yaml = SourceFile::inline("dbt_project.yml", "x: '{{ 1 }}'");
    let span = Span::new(&yaml, 3..12);
    let root = dict([
        (Value::from("x"), Value::from(5)),
        (Value::from("xs"), Value::from("5")),
        (
            Value::from("l"),
            list(vec![Value::from(1), Value::from("a")]),
        ),
    ]);
    for (text, expected) in [
        ("plain", "'plain'"),
        ("{{ 1 }}", "'1'"),
        ("{{ 1 + 1 }}", "'2'"),
        ("{{ x }}", "5"),
        ("{{ x + 1 }}", "6"),
        ("{{ xs }}", "'5'"),
        ("{{ true }}", "'True'"),
        ("{{ l }}", "[1, 'a']"),
        ("{{ l }}x", "\"[1, 'a']x\""),
        (" {{ x }}", "' 5'"),
        ("{{ x }}\n", "5"),
        ("{{ '1'|as_number }}", "1"),
        ("{{ '1.5'|as_number }}", "1.5"),
        ("{{ 'True'|as_bool }}", "True"),
        ("{{ (x > 3)|as_bool }}", "True"),
        ("{{ x|as_text }}", "'5'"),
        ("{{ '[1, {\\'a\\': (2,)}]'|as_native }}", "[1, {'a': (2,)}]"),
        ("{{ '007'|as_native }}", "'007'"),
        ("{% set a = x %}{{ a }}", "5"),
        ("{# c #}", "''"),
    ] {
        let value = engine.render_native(text, &span, &scope(root.clone()));
        let value = value.unwrap_or_else(|error| panic!("{text}: {}", error.message));
        assert_eq!(py_repr(&value), expected, "{text}");
    }
    let error = engine.render_native("{{ 'x'|as_bool }}", &span, &scope(root));
    insta::assert_snapshot!(error.expect_err("no bool").render(false));
}

fn library() -> Engine {
    engine(&[
        file(
            "shop",
            "macros/money.sql",
            "{% macro cents(column, scale=2) %}\n  round({{ column }}, {{ scale }})\n{% endmacro %}\n{% macro outer(x) %}\n  {{ inner(x) }}\n{% endmacro %}\n{% macro inner(x) %}\n  {{ x.y.z }}\n{% endmacro %}\n{% macro forever() %}{{ forever() }}{% endmacro %}\n",
        ),
        file(
            "dbt",
            "macros/builtin.sql",
            "{% macro build(x) %}\n  {{ check(x) }}\n{% endmacro %}\n{% macro check(x) %}{{ fail(x) }}{% endmacro %}\n",
        ),
    ])
}

#[test]
fn faults_point_at_the_template() {
    let engine = library();
    for (name, template) in [
        ("undefined_macro", "select\n  {{ cent('a') }}\n"),
        ("undefined_package_macro", "select {{ shop.cent('a') }}\n"),
        ("undefined_value", "select 1\nwhere {{ nothing.at.all }}\n"),
        (
            "none_has_no_method",
            "{% set x = none %}\n{{ x.strip() }}\n",
        ),
        ("chain_of_macros", "select\n  {{ outer({}) }}\n"),
        ("fault_in_builtin", "select\n  {{ build('bad value') }}\n"),
        ("unknown_parameter", "{{ cents('a', scal=3) }}\n"),
        ("too_many_arguments", "{{ cents('a', 2, 3) }}\n"),
        ("two_values", "{{ cents('a', column='b') }}\n"),
        ("no_caller", "{% call cents('a') %}x{% endcall %}\n"),
        ("types", "{{ 'a' + 1 }}\n"),
        ("not_iterable", "{% for x in none %}{% endfor %}\n"),
        ("not_callable", "{{ model_name() }}\n"),
        ("recursion", "{{ forever() }}\n"),
    ] {
        insta::assert_snapshot!(name, fault(&engine, template));
    }
}

#[test]
fn syntax_errors_point_at_their_place() {
    let engine = library();
    for (name, template) in [
        ("unclosed_if", "select 1\n{% if x %}\n  a\n"),
        ("wrong_end", "{% for x in y %}\n{% endif %}\n"),
        ("unknown_tag", "a\n  {% fro x in y %}\n"),
        ("unknown_filter", "{{ x | uper }}\n"),
        ("unclosed_print", "select\n  {{ ref('a')\n"),
        ("missing_expression", "{{ 1 + }}\n"),
        ("missing_comma", "{{ config(a=1 b=2) }}\n"),
        ("call_without_call", "{% call x %}{% endcall %}\n"),
    ] {
        insta::assert_snapshot!(name, fault(&engine, template));
    }
}

#[test]
fn broken_macro_files_and_duplicates_are_reported() {
    let files = [
        file("shop", "macros/a.sql", "{% macro a() %}1{% endmacro %}"),
        file("shop", "macros/b.sql", "{% macro a() %}2{% endmacro %}"),
        file("shop", "macros/c.sql", "{% macro c( %}{% endmacro %}"),
    ];
    let lookup = Lookup {
        root: Arc::from("shop"),
        ..Lookup::default()
    };
    let (engine, diagnostics) = Engine::new(&files, lookup);
    assert_eq!(
        render(&engine, "{{ a() }}", dict([])).expect("the first"),
        "1"
    );
    let codes: Vec<Code> = diagnostics
        .iter()
        .map(|diagnostic| diagnostic.code)
        .collect();
    assert_eq!(codes, [Code::DuplicateName, Code::JinjaSyntax]);
}

#[test]
fn context_objects_take_part() {
    #[derive(Debug)]
    struct Relation;
    impl Object for Relation {
        fn repr(self: &Arc<Self>) -> ObjectRepr {
            ObjectRepr::Plain
        }
        fn call_method(
            self: &Arc<Self>,
            _: &mut State<'_, '_>,
            method: &str,
            args: &[Value],
        ) -> Result<Value, minijinja::Error> {
            Ok(Value::from(format!("{method}({})", args[0])))
        }
        fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("\"db\".\"t\"")
        }
    }
    let root = dict([(Value::from("this"), Value::from_object(Relation))]);
    let text = render(
        &engine(&[]),
        "{{ this }} {{ this ~ '_x' }} {{ [this] | join(',') }} {{ 'y' if this }} {{ '%s' % this }} {{ '{}'.format(this) }} {{ this - 1 }} {{ 1 + this }}",
        root,
    );
    assert_eq!(
        text.expect("it renders"),
        r#""db"."t" "db"."t"_x "db"."t" y "db"."t" "db"."t" __sub__(1) __radd__(1)"#
    );
}

#[test]
fn engines_and_templates_are_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Engine>();
    shared::<Template>();
    shared::<Scope>();
}

proptest::proptest! {
    #[test]
    fn any_text_compiles_or_is_refused(parts in proptest::collection::vec(
        proptest::sample::select(vec![
            "{{", "}}", "{%", "%}", "{#", "#}", "-", "+", " ", "\n", "a", "ä", "'", "\"", "\\", "(", ")", "[", "]",
            "{", "}", ":", ",", "|", ".", "1", "1e5", "0x", "_", "=", "==", "~", "if ", "endif", "for x in y",
            "endfor", "set x = ", "endset", "macro f(x)", "endmacro", "call f()", "endcall", "raw", "endraw",
            "docs d", "enddocs", "is defined", "not ", "in ", "break", "loop(x)", "return(1)", "caller()",
        ]),
        0..24,
    )) {
        let text = parts.concat();
        let engine = engine(&[]);
        let template = engine.compile(&SourceFile::inline("a.sql", text.as_str()));
        match template {
            Ok(template) => {
                let root = dict([(Value::from("y"), list(vec![Value::from(1)]))]);
                if let Err(diagnostic) = engine.render(&template, &scope(root)) {
                    assert!(!diagnostic.message.is_empty());
                }
            }
            Err(diagnostic) => {
                assert_eq!(diagnostic.code, Code::JinjaSyntax);
                let range = diagnostic.labels[0].span.range.clone();
                assert!(text.get(range.clone()).is_some(), "{range:?} of {text:?}");
            }
        }
    }
}

/// `adapter` as far as these tests need it.
#[derive(Debug)]
struct Dispatcher;

impl Object for Dispatcher {
    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        _: &str,
        args: &[Value],
    ) -> Result<Value, minijinja::Error> {
        let word = |at: usize| args.get(at).and_then(Value::as_str);
        dispatch(state, word(0).unwrap_or_default(), word(1))
    }
}

#[test]
fn macros_that_only_dispatch_do_what_their_text_says() {
    let files = [
        file(
            "shop",
            "macros/a.sql",
            "{% macro given(a, b=2) %}{{ return(adapter.dispatch('given')(a, b)) }}{% endmacro %}
             {% macro default__given(a, b) %}{{ return([a, b]) }}{% endmacro %}
             {% macro printed(a='x') %}{{ adapter.dispatch('printed')(b=a) }}{% endmacro %}
             {% macro toy__printed(b) %} <{{ b }}> {% endmacro %}
             {% macro listed() %}{{ adapter.dispatch('listed')() }}{% endmacro %}
             {% macro default__listed() %}{{ return([1, none]) }}{% endmacro %}
             {% macro nothing() %}{{ return(adapter.dispatch('nothing')()) }}{% endmacro %}
             {% macro default__nothing() %}{% do return(none) %}{% endmacro %}
             {% macro loops(a) %}{{ adapter.dispatch('loops')(a) }}{% endmacro %}
             {% macro default__loops(a) %}{{ loops(a) }}{% endmacro %}
             {% macro lacks(a) %}{{ return(adapter.dispatch('lacks', 'utils')(a)) }}{% endmacro %}
             {% macro fails(a) %}{{ return(adapter.dispatch('fails')(a, 7)) }}{% endmacro %}
             {% macro default__fails(a) %}{{ a }}{% endmacro %}
             {% macro refuses(a) %}
                {{ return(adapter.dispatch('refuses')(a)) }}
             {% endmacro %}
             {% macro default__refuses(a) %}{{ fail(a) }}{% endmacro %}",
        ),
        file("utils", "macros/u.sql", "{% macro other() %}{% endmacro %}"),
    ];
    // A macro named `adapter`, even where no template sees it, has them run as they are written.
    let mut as_written = files.to_vec();
    let named = "{% macro adapter() %}{% endmacro %}";
    as_written.push(file("unseen", "macros/n.sql", named));
    let (quick, slow) = (engine(&files), engine(&as_written));
    let mut seen = Vec::new();
    for text in [
        "{{ given(1) }}|{{ given(1, b=3) }}|{{ given()[0] is undefined }}",
        "[{{ printed() }}][{{ printed('y') | trim }}]",
        "{{ listed() }} {{ listed() is string }} {{ nothing() is none }}",
        "{{ loops(1) }}",
        "{{ lacks(1) }}",
        "{{ fails(1) }}",
        "{{ given(1, 2, 3) }}",
        "a\n{{ refuses('no') }}",
    ] {
        let root = || {
            dict([
                (Value::from("adapter"), Value::from_object(Dispatcher)),
                (Value::from("fail"), Value::from_function(fail)),
            ])
        };
        let shown = |engine: &Engine| match render(engine, text, root()) {
            Ok(text) => text,
            Err(diagnostic) => diagnostic.render(false),
        };
        assert_eq!(shown(&quick), shown(&slow), "{text}");
        seen.push(shown(&quick));
    }
    insta::assert_snapshot!(seen[..3].join("\n"));
    insta::assert_snapshot!(seen[7]);
}
