//! Renderings compared with what Jinja2 3.1 on Python prints.

use std::sync::Arc;

use super::*;
use crate::diagnostic::{Code, Diagnostic};
use minijinja::State;
use minijinja::value::{Object, ObjectRepr};

/// Templates, and what Jinja2 renders them to.
const PYTHON: &[(&str, &str)] = &[
    (
        r#"{{ [1, 'a', 1.0, none, true] }}"#,
        r#"[1, 'a', 1.0, None, True]"#,
    ),
    (
        r#"{{ {'a': [1, "it's"], 2: (1,)} }}"#,
        r#"{'a': [1, "it's"], 2: (1,)}"#,
    ),
    (r#"{{ (1, 2) }} {{ () }} {{ 1, 2 }}"#, r#"(1, 2) () (1, 2)"#),
    (r#"{{ none }} {{ true }} {{ missing }}|"#, r#"None True |"#),
    (
        r#"{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 6 / 3 }}"#,
        r#"3 -4 1 2 3.5 1024 2.0"#,
    ),
    (
        r#"{{ 1e20 }} {{ 0.1 + 0.2 }} {{ 1_000 }} {{ 1e-7 }} {{ 100000 * 1.0 }}"#,
        r#"1e+20 0.30000000000000004 1000 1e-07 100000.0"#,
    ),
    (
        r#"{{ 'a' ~ 1 ~ none ~ [1.5] }} {{ 'a' + 'b' }} {{ 'ab' * 2 }} {{ [1] + [2] }} {{ [0] * 3 }} {{ (1,) + (2,) }}"#,
        r#"a1None[1.5] ab abab [1, 2] [0, 0, 0] (1, 2)"#,
    ),
    (
        r#"{{ '%s is %d, %05.2f%%' % ('x', 3, 2.5) }} {{ '%(a)s-%(b)r' % {'a': 1, 'b': 'q'} }} {{ '%03d' | format(7) }} {{ "%s" % [1] }}"#,
        r#"x is 3, 02.50% 1-'q' 007 [1]"#,
    ),
    (
        r#"{{ '{} {1} {x!r:>5} {0:,}'.format(1234567, 2, x='a') if false else '{} {x!r:>5}'.format(1, x='a') }} {{ '{0:,} {0:x} {1:.2f} {2:<4}|'.format(1234567, 3.14159, 'ab') }}"#,
        r#"1   'a' 1,234,567 12d687 3.14 ab  |"#,
    ),
    (
        r#"{{ 'hello'[1:3] }} {{ 'hello'[::-1] }} {{ [1, 2, 3][-1] }} {{ [1, 2, 3, 4][1:] }} {{ [1, 2, 3, 4][::2] }} {{ (1, 2, 3)[:2] }} {{ 'hello'[-3:] }}"#,
        r#"el olleh 3 [2, 3, 4] [1, 3] (1, 2) llo"#,
    ),
    (
        r#"{{ 1 < 2 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 1 < 2 < 3 }} {{ none == missing }} {{ (1, 2) == [1, 2] }}"#,
        r#"True True True True True True False False"#,
    ),
    (
        r#"{{ 'a' in 'abc' }} {{ 1 in [1] }} {{ 'k' in {'k': 1} }} {{ 2 not in (1, 3) }} {{ 1 in missing }}"#,
        r#"True True True True False"#,
    ),
    (
        r#"{% set l = [1] %}{% do l.append(2) %}{% do l.extend([3, 4]) %}{% do l.insert(0, 0) %}{{ l }} {{ l.pop() }} {{ l.pop(0) }} {{ l }} {% do l.remove(2) %}{{ l }} {{ l.index(3) }} {{ l.count(1) }}{% do l.reverse() %}{{ l }}"#,
        r#"[0, 1, 2, 3, 4] 4 0 [1, 2, 3] [1, 3] 1 1[3, 1]"#,
    ),
    (
        r#"{% set d = {} %}{% do d.update({'a': 1}) %}{% do d.update(b=2) %}{{ d.setdefault('c', []) }}{% do d['c'].append(9) %}{{ d }} {{ d.pop('a') }} {{ d.get('z') }} {{ d.get('z', 5) }} {{ d.items() | list }} {{ d.keys() | list }} {{ d.values() | list }}"#,
        r#"[]{'a': 1, 'b': 2, 'c': [9]} 1 None 5 [('b', 2), ('c', [9])] ['b', 'c'] [2, [9]]"#,
    ),
    (
        r#"{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }}{{ ', ' if not loop.last }}{% endfor %}"#,
        r#"a=1, b=2"#,
    ),
    (
        r#"{% for c in 'abc' %}{{ c }}{% if not loop.last %},{% endif %}{% endfor %} {% for x in [] %}x{% else %}none{% endfor %}"#,
        r#"a,b,c none"#,
    ),
    (
        r#"{% for x in [1, 2, 3, 4] if x is even %}{{ loop.index }}:{{ x }} of {{ loop.length }} {% endfor %}"#,
        r#"1:2 of 2 2:4 of 2 "#,
    ),
    (
        r#"{% for i in range(3) %}{% for j in range(2) %}{{ loop.index0 }}{{ i }}{{ j }} {% endfor %}{% endfor %}"#,
        r#"000 101 010 111 020 121 "#,
    ),
    (
        r#"{% for x in [1, 2, 3] %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% endfor %}{% for x in [1, 2, 3] %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}"#,
        r#"131"#,
    ),
    (
        r#"{% set ns = namespace(x=0, l=[]) %}{% for i in range(4) %}{% set ns.x = ns.x + i %}{% do ns.l.append(i) %}{% endfor %}{{ ns.x }} {{ ns.l }}"#,
        r#"6 [0, 1, 2, 3]"#,
    ),
    (
        r#"{% set x = 1 %}{% for i in [1, 2] %}{% set x = 5 %}{% endfor %}{{ x }} {% if true %}{% set x = 7 %}{% endif %}{{ x }}"#,
        r#"1 7"#,
    ),
    (
        r#"{% set a, b = 1, 2 %}{{ a }}{{ b }} {% set t = 1, %}{{ t }} {% set y %}text {{ 1 }}{% endset %}[{{ y }}] {% set z | upper %}abc{% endset %}{{ z }}"#,
        r#"12 (1,) [text 1] ABC"#,
    ),
    (
        r#"{% if 1 %}a{% elif 2 %}b{% else %}c{% endif %} {% if none: %}a{% else %}b{% endif %} {{ 'y' if missing else 'n' }} {{ 'y' if false }}|"#,
        r#"a b n |"#,
    ),
    (
        r#"{% with a = 1, b = 2 %}{{ a + b }}{% endwith %} {% filter upper %}abc{% endfilter %}"#,
        r#"3 ABC"#,
    ),
    (
        r#"{% macro f(a, b='x', c=none) %}{{ a }}-{{ b }}-{{ c }}{% endmacro %}{{ f(1) }} {{ f(1, c=2) }} {{ f(b=3, a=4) }} {{ f() }}"#,
        r#"1-x-None 1-x-2 4-3-None -x-None"#,
    ),
    (
        r#"{% macro f(a) %}{{ varargs }} {{ kwargs }}{% endmacro %}{{ f(1, 2, 3, k=4) }}"#,
        r#"(2, 3) {'k': 4}"#,
    ),
    (
        r#"{% macro f(x) %}[{{ caller(x) }}]{% endmacro %}{% set o = 'outer' %}{% call(v) f('in') %}{{ v }} {{ o }}{% endcall %}"#,
        r#"[in outer]"#,
    ),
    (
        r#"{% macro fact(n) %}{{ 1 if n < 2 else n * (fact(n - 1) | int) }}{% endmacro %}{{ fact(5) }}"#,
        r#"120"#,
    ),
    (
        r#"{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a.b.c'.rsplit('.', 1) }} {{ 'a=b=c'.partition('=') }} {{ 'x'.join(['1', '2']) }} {{ 'abc'.replace('b', 'x') }}"#,
        r#"['a', 'b', '', 'c'] ['a', 'b'] ['a.b', 'c'] ('a', '=', 'b=c') 1x2 axc"#,
    ),
    (
        r#"{{ 'Hello World'.upper() }} {{ 'hello world'.title() }} {{ 'hELLO'.capitalize() }} {{ '  x '.strip() }}| {{ 'xxaxx'.strip('x') }} {{ '7'.zfill(3) }} {{ 'a'.rjust(3) }} {{ 'a'.ljust(3) }}| {{ 'a'.center(4) }}|"#,
        r#"HELLO WORLD Hello World Hello x| a 007   a a  |  a  |"#,
    ),
    (
        r#"{{ 'abc'.startswith('a') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'abc'.find('c') }} {{ 'abcabc'.rfind('b') }} {{ '12'.isdigit() }} {{ 'ab'.isalpha() }} {{ 'test_x'.removeprefix('test_') }} {{ 'a\nb'.splitlines() }}"#,
        r#"True True 2 4 True True x ['a', 'b']"#,
    ),
    (
        r#"{{ [3, 1, 2] | sort }} {{ ['b', 'A', 'c'] | sort }} {{ [1, 2] | join(', ') }} {{ [none, true, 1.0] | join('|') }} {{ [1, 1, 2] | unique | list }} {{ [3, 1] | sort(reverse=true) }} {{ ['x', 'y'] | first }} {{ [1, 2] | last }} {{ [1, 2, 3] | sum }} {{ [1, 5] | max }}"#,
        r#"[1, 2, 3] ['A', 'b', 'c'] 1, 2 None|True|1.0 [1, 2] [3, 1] x 2 6 5"#,
    ),
    (
        r#"{{ 2.5 | round }} {{ 2.675 | round(2) }} {{ 3.5 | round }} {{ 7 | round }} {{ 2.1 | round(method='ceil') }} {{ 2.9 | round(method='floor') | int }} {{ '12' | int }} {{ 'x' | int(5) }} {{ '1.5' | float }} {{ '3.7' | int }} {{ 'x' | int }}"#,
        r#"2.0 2.67 4.0 7 3.0 2 12 5 1.5 3 0"#,
    ),
    (
        r#"{{ missing | default('d') }} {{ '' | default('d', true) }} {{ none | default('d') }} {{ [1, 2] | length }} {{ 'abc' | length }} {{ {'a': 1} | length }} {{ ['a', 'b'] | map('upper') | list }} {{ [{'n': 1}, {'n': 2}] | map(attribute='n') | list }}"#,
        r#"d d None 2 3 1 ['A', 'B'] [1, 2]"#,
    ),
    (
        r#"{{ [1, 2, 3] | select('odd') | list }} {{ [1, 2, 3] | reject('odd') | list }} {{ [{'n': 1}, {'n': 2}] | selectattr('n', 'equalto', 2) | list }} {{ ['a b c'] | map('wordcount') | list }}"#,
        r#"[1, 3] [2] [{'n': 2}] [3]"#,
    ),
    (
        r#"{{ {'b': 1, 'a': 2} | dictsort }} {{ {'b': 1} | items | list }} {{ [1, 2, 3] | batch(2) | list }} {{ 'a b' | replace(' ', '_') }} {{ 'abc' | reverse }} {{ [1, 2] | reverse | list }} {{ 'x' | indent }} {{ ' a ' | trim }}|"#,
        r#"[('a', 2), ('b', 1)] [('b', 1)] [[1, 2], [3]] a_b cba [2, 1] x a|"#,
    ),
    (
        r#"{{ {'b': 1, 'a': [1.0, none, true, 'é<']} | tojson }}"#,
        r#"{"a": [1.0, null, true, "\u00e9\u003c"], "b": 1}"#,
    ),
    (
        r#"{{ x is defined }} {{ none is none }} {{ 1 is number }} {{ true is number }} {{ 'a' is string }} {{ [] is iterable }} {{ 'a' is iterable }} {{ {} is mapping }} {{ [] is sequence }} {{ 'a' is sequence }} {{ 3 is divisibleby 3 }} {{ 1 is not none }} {{ 2 is in [1, 2] }} {{ 1 is integer }} {{ true is integer }} {{ true is boolean }}"#,
        r#"False True True True True True True True True True True True True True False True"#,
    ),
    (
        r#"{{ "it's" }} {{ ["it's", 'a"b', 'a\nb', "both'\""] }}"#,
        r#"it's ["it's", 'a"b', 'a\nb', 'both\'"']"#,
    ),
    (
        r#"{{- ' a' -}}   b  {%- if true -%}  c  {%- endif %}  d {#- x -#} e"#,
        r#" abc  de"#,
    ),
    (
        r#"{% raw %}{{ x }}{% endraw %} {{ '{{' }} {{ "a" "b" }}"#,
        r#"{{ x }} {{ ab"#,
    ),
    (
        r#"{{ not true }} {{ not missing }} {{ 1 and 2 }} {{ 0 or 'x' }} {{ none or none }} {{ [] and 1 }}"#,
        r#"False True 2 x None []"#,
    ),
    (
        r#"{{ {'a': {'b': [10, 20]}}.a.b[1] }} {{ {'a': 1}['a'] }} {{ {'a': 1}.z }}| {{ [1].foo }}| {{ [1, 2].0 }}"#,
        r#"20 1 | | 1"#,
    ),
    (
        r#"{{ dict(a=1, b=[2]) }} {{ dict([('x', 1)]) }} {{ range(3) | list }} {{ range(1, 10, 3) | list }} {{ [1, 2, 3].copy() }}"#,
        r#"{'a': 1, 'b': [2]} {'x': 1} [0, 1, 2] [1, 4, 7] [1, 2, 3]"#,
    ),
    (
        r#"{% set rows = [] %}{% for t in [('a', 1), ('b', 2)] %}{% do rows.append({'n': t[0], 'v': t[1]}) %}{% endfor %}{{ rows }} {{ rows | map(attribute='v') | sum }}"#,
        r#"[{'n': 'a', 'v': 1}, {'n': 'b', 'v': 2}] 3"#,
    ),
    (
        r#"{{ -3 | abs }} {{ -1 }} {{ - 1 + 2 }} {{ 2 - -2 }} {{ +3 }} {{ -2 ** 2 }}"#,
        r#"3 -1 1 4 3 4"#,
    ),
    (
        r#"{{ "%.3f" % 2 }} {{ "%5s|%-5s|" % ('a', 'b') }} {{ "%x %X %o %e %g" % (255, 255, 8, 12345.678, 0.00001) }} {{ '%i' % 3.9 }}"#,
        r#"2.000     a|b    | ff FF 10 1.234568e+04 1e-05 3"#,
    ),
    (
        r#"{{ [1, [2, [3, {'a': (4,)}]]] }} {{ [[]] }} {{ [{}] }}"#,
        r#"[1, [2, [3, {'a': (4,)}]]] [[]] [{}]"#,
    ),
    (
        r#"{{ 'abc' | upper | lower | title }} {{ 'a-b_c' | capitalize }} {{ 'foo bar' | truncate(5, true) }} {{ [1,2,3,4,5] | slice(2) | list }}"#,
        r#"Abc A-b_c foo bar [[1, 2, 3], [4, 5]]"#,
    ),
    (
        r#"{% for g in [{'k': 1, 'v': 'a'}, {'k': 1, 'v': 'b'}, {'k': 2, 'v': 'c'}] | groupby('k') %}{{ g.grouper }}:{{ g.list | map(attribute='v') | join(',') }} {% endfor %}"#,
        r#"1:a,b 2:c "#,
    ),
    (
        r#"{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %} {% for x in 1, 2, 3 %}{{ x }}{% endfor %} {% for x in {'a': 1} %}{{ x }}{% endfor %}"#,
        r#"123 123 a"#,
    ),
    (
        r#"{{ loop is defined }} {% for x in [1, 1, 2] %}{{ loop.changed(x) }} {{ loop.cycle('a', 'b') }} {{ loop.revindex }} {{ loop.first }} {{ loop.previtem }} {{ loop.nextitem }};{% endfor %}"#,
        r#"False True a 3 True  1;False b 2 False 1 2;True a 1 False 1 ;"#,
    ),
    (
        r#"{{ 'a' if 1 > 2 else 'b' if 2 > 3 else 'c' }} {{ (1 if true else 2) + 1 }}"#,
        r#"c 2"#,
    ),
    (
        r#"{{ "a\tb\\n" }} {{ 'ä' | length }} {{ 'ß'.upper() }} {{ 0x1f }} {{ 0b11 }}"#,
        r#"a	b\n 1 SS 31 3"#,
    ),
    (
        r#"{% do {'a': 1}.update({'b': 2}) %}{% do none %}ok {{ [1, 2, 3,] }} {{ {'a': 1,} }} {{ "a,b".split(",")[0] | upper }}"#,
        r#"ok [1, 2, 3] {'a': 1} A"#,
    ),
    (
        r#"{{ 10 // 3.0 }} {{ 10 % 3.5 }} {{ 1 / 3 }} {{ 1e16 }} {{ 123456789.123 }} {{ 5.0 }} {{ 1.10 }}"#,
        r#"3.0 3.0 0.3333333333333333 1e+16 123456789.123 5.0 1.1"#,
    ),
    (
        r#"{{ x.y if x is defined else 'no x' }} {{ {'a': none}.a or 'empty' }} {{ 'abc'.count('b') }} {{ 'a-b'.split('-', 1) | last }}"#,
        r#"no x empty 1 b"#,
    ),
    (
        r#"{%- macro m() -%}  trimmed  {%- endmacro -%}[{{ m() }}] {% macro n() %} kept {% endmacro %}[{{ n() }}] [{{ n() | trim }}]"#,
        r#"[trimmed] [ kept ] [kept]"#,
    ),
    (
        r#"{% set f = {'x': [1, 2]} %}{% for k in f %}{% for v in f[k] %}{{ k }}{{ v }}{{ ',' if not loop.last }}{% endfor %}{% endfor %} {{ f['x'][0] }}{{ f.x[1] }}"#,
        r#"x1,x2 12"#,
    ),
    (
        r#"{{ [('b', 2), ('a', 1)] | sort }} {{ [('b', 1), ('a', 2)] | sort(attribute=1) }} {{ ['aa', 'b'] | sort(attribute='0') }} {{ [2, 1] | min }} {{ ['b', 'A'] | min }}"#,
        r#"[('a', 1), ('b', 2)] [('b', 1), ('a', 2)] ['aa', 'b'] 1 A"#,
    ),
];

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
        fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("\"db\".\"t\"")
        }
    }
    let root = dict([(Value::from("this"), Value::from_object(Relation))]);
    let text = render(
        &engine(&[]),
        "{{ this }} {{ this ~ '_x' }} {{ [this] | join(',') }} {{ 'y' if this }} {{ '%s' % this }} {{ '{}'.format(this) }}",
        root,
    );
    assert_eq!(
        text.expect("it renders"),
        r#""db"."t" "db"."t"_x "db"."t" y "db"."t" "db"."t""#
    );
}

#[test]
fn engines_and_templates_are_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Engine>();
    shared::<Template>();
    shared::<Scope>();
}
