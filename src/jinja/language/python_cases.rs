//! Templates and what Jinja2 3.1 on Python prints for them.

/// Templates, and what Jinja2 renders them to.
pub(super) const PYTHON: &[(&str, &str)] = &[
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
    (
        r#"{% set l = ['b', 'a'] | sort %}{% do l.append('c') %}{{ l }} {% set m = [1] | map('string') | list %}{% do m.append('x') %}{{ m }}"#,
        r#"['a', 'b', 'c'] ['1', 'x']"#,
    ),
    (
        r#"{% macro f() %}{{ caller(1, b=2) }}{% endmacro %}{% call(a, b, c=9) f() %}{{ a }}{{ b }}{{ c }}{% endcall %}"#,
        r#"129"#,
    ),
    (
        r#"{% macro f() %}<{{ caller() if caller else 'none' }}>{% endmacro %}{{ f() }}{% call f() %}x{% endcall %}"#,
        r#"<none><x>"#,
    ),
    (
        r#"{% macro f() %}{% for x in [1, 2] %}{{ caller(x) }}{% endfor %}{% endmacro %}{% for i in [7, 8] %}{% call(x) f() %}{{ i }}{{ x }}{{ loop.index }} {% endcall %}{% endfor %}"#,
        r#"711 721 812 822 "#,
    ),
    (
        r#"{% macro a() %}{% macro b(x) %}b{{ x }}{% endmacro %}{{ b(1) }}{{ b(2) }}{% endmacro %}{{ a() }}"#,
        r#"b1b2"#,
    ),
    (
        r#"{% macro f() %}{{ varargs | length }}{{ kwargs | length }}{{ kwargs.items() | list }}{% endmacro %}{{ f(1, 2, a=3) }} {{ f(*[1, 2, 3], **{'z': 1}) }}"#,
        r#"21[('a', 3)] 31[('z', 1)]"#,
    ),
    (
        r#"{% macro f(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ f(*[1]) }} {{ f(**{'a': 5, 'b': 6}) }} {{ f(1, *[3]) }} {{ f(1, **{'b': 7}) }}"#,
        r#"12 56 13 17"#,
    ),
    (
        r#"{% for n in [{'v': 1, 'c': [{'v': 2, 'c': []}]}] recursive %}{{ n.v }}{{ loop.depth }}{{ loop(n.c) }}{% endfor %}"#,
        r#"1122"#,
    ),
    (
        r#"{% for x in [1, 2] %}{% set y = x %}{% endfor %}{{ y is defined }} {% if true %}{% set q = 1 %}{% endif %}{{ q }}"#,
        r#"False 1"#,
    ),
    (
        r#"{% set d = {'a': 1} %}{% for k in d.keys() %}{% do d.update({k ~ '2': 1}) if false %}{{ k }}{% endfor %}{{ 'a' in d }} {{ d.a is sameas 1 }} {{ d | length }} {{ d is mapping }}"#,
        r#"aTrue True 1 True"#,
    ),
    (
        r#"{% set x = [] %}{% for i in range(3) %}{% do x.append(i) or '' %}{{ x.append(5) or 'r' }}{% endfor %}{{ x }}"#,
        r#"rrr[0, 5, 1, 5, 2, 5]"#,
    ),
    (
        r#"{{ {'a': 1} == {'a': 1} }} {{ [1] == [1] }} {{ [1, 2] != [2, 1] }} {{ {} == [] }} {{ 'a' == 1 }} {{ none == false }} {{ 0 == false }} {{ '' == none }} {{ 1.0 == 1 }} {{ 'a' != 'b' }}"#,
        r#"True True True False False False True False True True"#,
    ),
    (
        r#"{{ {1: 'a', true: 'b'} }} {{ {'a': 1, 'a': 2} }} {{ {(1, 2): 3}[1, 2] }} {{ {none: 1} }}"#,
        r#"{1: 'b'} {'a': 2} 3 {None: 1}"#,
    ),
    (
        r#"{{ "a" if none is none and not false else "b" }} {{ 1 if [] else 2 }} {{ (none or []) | length }}"#,
        r#"a 2 0"#,
    ),
    (
        r#"{{ 'x' * 0 }}| {{ 3 * 'ab' }} {{ [1, 2] * 2 }} {{ 5 - 2.5 }} {{ 2 ** 0.5 }} {{ 2 ** -1 }} {{ 10 / 2 }} {{ true + 1 }} {{ 1e3 }} {{ 12345678901234567890 }} {{ 9223372036854775807 + 1 }} {{ -5 // 3 }} {{ 5 % -3 }}"#,
        r#"| ababab [1, 2, 1, 2] 2.5 1.4142135623730951 0.5 5.0 2 1000.0 12345678901234567890 9223372036854775808 -2 -1"#,
    ),
    (
        r#"{{ 'A-B'.lower().replace('-', '_') }} {{ ('a' ~ 'b').upper() }} {{ ('%s' % 1) ~ 'x' }} {{ 'a %s' % 'b' ~ 'c' }} {{ '%s %s' % ('a', none) }} {{ '%s' % {'a': 1} }} {{ '100%' }} {{ '%%' % () }} {{ '%5.1f|%+d|% d|%-6d|%06d' % (3.14159, 5, 5, 42, -42) }} {{ '%s' % true }} {{ '%r' % 'a' }} {{ '%c' % 65 }} {{ '%.2s' % 'abc' }}"#,
        r#"a_b AB 1x a bc a None {'a': 1} 100% %   3.1|+5| 5|42    |-00042 True 'a' A ab"#,
    ),
    (
        r#"{{ '{:>10}|{:^10}|{:<10}|{:*^9}'.format('a', 'b', 'c', 'd') }} {{ '{:05d} {:+d} {:,} {:.3f} {:e} {:%} {:x} {:#x} {:b} {:_}'.format(42, 7, 1234567, 3.14159, 12345.678, 0.25, 255, 255, 5, 1000000) }} {{ '{a} {b[0]} {c.x}'.format(a=1, b=[2], c={'x': 3}) if false else '{a} {b[0]}'.format(a=1, b=[2]) }} {{ '{{}} {}'.format(1) }} {{ '{0}{0}{1}'.format('a', 'b') }} {{ '{:g} {:g} {:g}'.format(0.00001, 123456789.0, 1.5) }} {{ '{:{}}|'.format('x', 5) }} {{ '{!r}'.format('q') }}"#,
        r#"         a|    b     |c         |****d**** 00042 +7 1,234,567 3.142 1.234568e+04 25.000000% ff 0xff 101 1_000_000 1 2 {} 1 aab 1e-05 1.23457e+08 1.5 x    | 'q'"#,
    ),
    (
        r#"{{ 'a\\b' }} {{ 'tab\there' }} {{ "quote \" and ' end" }} {{ ['\\', '\t', '\x00', 'é'] }} {{ 'line1\nline2' | indent(2) }} {{ 'x\n\ny' | indent(2, true) }} {{ 'a\nb' | indent(width=4, first=true) }}"#,
        r#"a\b tab	here quote " and ' end ['\\', '\t', '\x00', 'é'] line1
  line2   x

  y     a
    b"#,
    ),
    (
        r#"{{ [1, 2, 3] | join }} {{ ['a'] | join(', ') }} {{ 'abc' | join('-') }} {{ {'a': 1, 'b': 2} | join(',') }} {{ [{'x': 1}, {'x': 2}] | join(',', attribute='x') }} {{ range(3) | join(',') }}"#,
        r#"123 a a-b-c a,b 1,2 0,1,2"#,
    ),
    (
        r#"{{ [[1, 2], [3]] | map('length') | list }} {{ [[1, 2], [3, 4]] | map('first') | join(',') }} {{ ['1', '2'] | map('int') | sum }} {{ [1, none, 2] | select | list }} {{ [1, 2] | map('string') | join('') }} {{ ['a', 'b'] | map('replace', 'a', 'z') | list }} {{ [{'a': none}] | map(attribute='a') | list }} {{ [{'a': 1}, {}] | map(attribute='a', default=0) | list }}"#,
        r#"[2, 1] 1,3 3 [1, 2] 12 ['z', 'b'] [None] [1, 0]"#,
    ),
    (
        r#"{{ [1, 2, 3] | select('gt', 1) | list }} {{ [1, 2, 3] | select('in', [1, 3]) | list }} {{ ['a', 'b'] | reject('equalto', 'a') | list }} {{ [{'a': 1}, {'a': 0}] | selectattr('a') | map(attribute='a') | list }} {{ [{'a': 1}, {'b': 0}] | selectattr('a', 'defined') | list }} {{ [{'a': 1}, {'a': 2}] | rejectattr('a', 'eq', 1) | list }}"#,
        r#"[2, 3] [1, 3] ['b'] [1] [{'a': 1}] [{'a': 2}]"#,
    ),
    (
        r#"{{ ['a', 'B', 'A'] | unique | list }} {{ ['b', 'a', 'C'] | sort(case_sensitive=true) }} {{ [{'n': 'b'}, {'n': 'a'}] | sort(attribute='n') | map(attribute='n') | list }} {{ [3, 1, 2] | sort | reverse | list }} {{ {'b': 2, 'a': 3} | dictsort(by='value') }} {{ {'b': 2, 'a': 3} | dictsort(reverse=true) }} {{ [5, 3] | min }} {{ [{'a': 5}, {'a': 3}] | max(attribute='a') }}"#,
        r#"['a', 'B'] ['C', 'a', 'b'] ['a', 'b'] [3, 2, 1] [('b', 2), ('a', 3)] [('b', 2), ('a', 3)] 3 {'a': 5}"#,
    ),
    (
        r#"{{ [1, 2, 3, 4, 5] | batch(2, 'x') | list }} {{ [1, 2, 3] | slice(2) | list }} {{ [1, 2] | first }} {{ [] | first is defined }} {{ 'abc' | first }} {{ 'abc' | last }} {{ 'abc' | list }} {{ {'a': 1} | list }} {{ (1, 2) | list }} {{ [1, 2] | string }} {{ 1.0 | string }} {{ none | string }} {{ 5 | string | length }}"#,
        r#"[[1, 2], [3, 4], [5, 'x']] [[1, 2], [3]] 1 False a c ['a', 'b', 'c'] ['a'] [1, 2] [1, 2] 1.0 None 1"#,
    ),
    (
        r#"{{ 'a b' | title }} {{ "it's a-b" | title }} {{ 'FOO' | lower }} {{ 5 | upper }} {{ none | upper }} {{ 'hello world' | capitalize }} {{ 'x' | center(5) }}| {{ '<a>' | escape }} {{ 'a' | safe }} {{ '<b>x</b> y' | striptags }} {{ 'aXbX' | replace('X', '-', 1) }} {{ '  x' | trim }} {{ 'xxyxx' | trim('x') }}"#,
        r#"A B It's A-B foo 5 NONE Hello world   x  | &lt;a&gt; a x y a-bX x y"#,
    ),
    (
        r#"{{ 1.5 | int }} {{ '0x1F' | int(base=16) }} {{ none | int }} {{ true | int }} {{ '1e3' | float }} {{ none | float }} {{ 3 | float }} {{ 1234.5678 | round(1) }} {{ 1234.5678 | round(-2) }} {{ 5 | round(1) }} {{ 1.25 | round(1, 'ceil') }} {{ -2.5 | round }} {{ 0.5 | round }} {{ 42.55 | round(1, 'floor') }} {{ -1.5 | abs }}"#,
        r#"1 31 0 1 1000.0 0.0 3.0 1234.6 1200.0 5 1.3 -2.0 0.0 42.5 1.5"#,
    ),
    (
        r#"{{ 'abc'[0] }} {{ 'abc'[-1] }} {{ 'abc'[5] is defined }} {{ [1][5] is defined }} {{ [1, 2, 3][:-1] }} {{ [1, 2, 3][-2:] }} {{ [1, 2, 3][::-1] }} {{ 'abcdef'[1:5:2] }} {{ (1, 2, 3)[1:] }} {{ [][1:] }} {{ 'abc'[:99] }}"#,
        r#"a c False False [1, 2] [2, 3] [3, 2, 1] bd (2, 3) [] abc"#,
    ),
    (
        r#"{{ 'x' in ['x'] and 'y' not in ['x'] }} {{ not 'a' in 'b' }} {{ 1 in (1, 2) }} {{ 'a' in {'a': 1}.keys() }} {{ 1 in {'a': 1}.values() }} {{ (1, 2) in [(1, 2)] }} {{ none in [none] }} {{ '' in 'abc' }}"#,
        r#"True True True True True True True True"#,
    ),
    (
        r#"{{ 1 is odd }} {{ 2 is even }} {{ 'a' is lower }} {{ 'A' is upper }} {{ none is defined }} {{ x is undefined }} {{ 1.0 is float }} {{ 1 is float }} {{ (1,) is sequence }} {{ 1 is iterable }} {{ none is iterable }} {{ 'a' is mapping }} {{ 5 is gt 3 }} {{ 5 is ge(5) }} {{ 'a' is eq 'a' }} {{ true is true }} {{ 1 is true }} {{ false is false }} {{ 'a' is in 'abc' }} {{ {} is iterable }} {{ 1 is divisibleby(2) }} {{ none is none or false }} {{ 1 is not string and true }}"#,
        r#"True True True True True True True False True False False False True True True True False True True True False True True"#,
    ),
    (
        r#"{% set x = {'a': {'b': 1}} %}{% do x.a.update(c=2) %}{{ x }} {{ x.a.pop('b') }} {{ x['a']['c'] }} {% do x.update(z=[1]) %}{% do x.z.append(2) %}{{ x.z }} {% set y = x.copy() %}{% do y.update(n=1) %}{{ 'n' in x }} {{ x.get('a', {}).get('c') }} {{ x.get('q', {}).get('r', 'def') }}"#,
        r#"{'a': {'b': 1, 'c': 2}} 1 2 [1, 2] False 2 def"#,
    ),
    (
        r#"{% set a = [1, 2] %}{% set b = a %}{% do b.append(3) %}{{ a }} {% set c = a + [4] %}{{ a }}{{ c }} {% set d = a[:] %}{% do d.append(9) %}{{ a }} {{ a.extend([7]) }} {{ a.clear() }}{{ a }} {% do a.insert(-1, 5) %}{{ a }} {{ a.copy() }} {% do c.sort(reverse=true) %}{{ c }}"#,
        r#"[1, 2, 3] [1, 2, 3][1, 2, 3, 4] [1, 2, 3] None None[] [5] [5] [4, 3, 2, 1]"#,
    ),
    (
        r#"{% macro default_list(x=[]) %}{% do x.append(1) %}{{ x }}{% endmacro %}{{ default_list() }}{{ default_list() }}"#,
        r#"[1][1]"#,
    ),
    (
        r#"{%- set s -%}  spaced  {%- endset -%}[{{ s }}] {%- for i in [1, 2] -%}  {{ i }}  {%- endfor -%}  end"#,
        r#"[spaced]12end"#,
    ),
    (
        r#"a{# comment #}b {#- x -#} c {{ '#}' }} {% raw -%}  {% x %} {{ y }} {#- z #}  {%- endraw %} d"#,
        r#"abc #} {% x %} {{ y }} {#- z #} d"#,
    ),
    (
        r#"{{ '{% if %}' }} {{ "{# not #}" }} {{ {'a': '}}'} }} {{ {'x': {'y': {}}} }}"#,
        r#"{% if %} {# not #} {'a': '}}'} {'x': {'y': {}}}"#,
    ),
    (
        r#"{{ [1, 2, 3] | random is in [1, 2, 3] }} {{ 'a,b;c'.split(';')[0].split(',') | last }} {{ 'k=v'.split('=', 1) }} {{ ' x '.split(' ') }} {{ 'abc'.split('') if false }} {{ 'a\n b\n'.splitlines() }} {{ 'a b c'.split(maxsplit=1) }} {{ 'a.b.c'.rpartition('.') }} {{ 'aXb'.swapcase() }} {{ 'abc'.index('b') }} {{ 'a'.isupper() }} {{ '1a'.isalnum() }} {{ ' '.isspace() }} {{ 'ab'.removesuffix('b') }} {{ 'Ab'.casefold() }} {{ '-7'.zfill(4) }} {{ 'abcb'.replace('b', 'x', 1) }}"#,
        r#"True b ['k', 'v'] ['', 'x', '']  ['a', ' b'] ['a', 'b c'] ('a.b', '.', 'c') AxB 1 False True True a ab -007 axcb"#,
    ),
    (
        r#"{{ dict(a=1).items() | list }} {{ dict({'a': 1}, b=2) }} {{ namespace(a=1).a }} {{ namespace({'b': 2}).b }} {{ range(5, 0, -2) | list }} {{ range(3) | length }} {% for i in range(0) %}x{% else %}empty{% endfor %}"#,
        r#"[('a', 1)] {'a': 1, 'b': 2} 1 2 [5, 3, 1] 3 empty"#,
    ),
    (
        r#"{{ [1.0, 2.50, 1e100, 1e-5] }} {{ 1.0e10 }} {{ 3.0 * 2 }} {{ 0.1 * 3 }} {{ 1 / 3 }} {{ 1e22 }} {{ 2.5e-8 }} {{ 100.0 }} {{ 1.23456789012345678 }}"#,
        r#"[1.0, 2.5, 1e+100, 1e-05] 10000000000.0 6.0 0.30000000000000004 0.3333333333333333 1e+22 2.5e-08 100.0 1.2345678901234567"#,
    ),
    (
        r#"{% for x in [3, 1] | sort %}{{ x }}{{ loop.last }}{% endfor %} {% for x in [1, 2, 3] | select('odd') %}{{ x }}{{ loop.last }}{{ loop.length }} {% endfor %} {% for k, v in {'b': 1, 'a': 2} | dictsort %}{{ k }}{{ v }}{% endfor %} {% for k, v in {'a': 1} | items %}{{ k }}{{ v }}{% endfor %} {% for x in 'ab' | upper %}{{ x }}{{ loop.last }}{% endfor %}"#,
        r#"1False3True 1False2 3True2  a2b1 a1 AFalseBTrue"#,
    ),
];
