"""The sandbox of templates: what it offers, what it refuses, and what ends."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.policy.transforming.rewriting import Later, TooMuch
from gateway.policy.transforming.template_budget import Budget
from gateway.policy.transforming.template_environment import Output
from gateway.policy.transforming.template_sandbox import Compiled

NAMES = frozenset(("request", "identity"))
REQUEST = {
    "method": "GET",
    "body": {"items": [{"a": 1, "n": "x"}, {"a": 2, "n": "<y>"}], "name": 'B"ob', "big": "y" * 100_000},
}


def render(source: str, output: Output = "text", **budget: Any) -> str:
    given = {"work": 2_000_000, "size": 1_000_000, "seconds": 5.0} | budget
    return Compiled(source, output, NAMES).render({"request": REQUEST, "identity": None}, Budget(**given))


@pytest.mark.parametrize(
    ("source", "output", "expected"),
    [
        ('{"n": {{ request.body.name }}}', "json", '{"n": "B\\"ob"}'),
        ('{"n": "hi {{ request.body.name | inside }}"}', "json", '{"n": "hi B\\"ob"}'),
        ("{{ request.body['items'] }}", "json", '[{"a":1,"n":"x"},{"a":2,"n":"<y>"}]'),
        ("{% macro m(x) %}[{{ x }}]{% endmacro %}{{ m(request.body.name) }}", "json", '["B\\"ob"]'),
        ("{{ identity }}", "json", "null"),
        ("<i n='{{ request.body.name }}'>{{ request.body.items[1].n }}</i>", "xml", "<i n='B&#34;ob'>&lt;y&gt;</i>"),
        ("{{ '<' ~ request.body.items[1].n }}", "html", "&lt;&lt;y&gt;"),
        ("{% for i in request.body.items %}{{ loop.index }}{{ i.a }}{% endfor %}", "text", "1122"),
        ("{{ request.body.items | sum('a') }}{{ request.body.items | map('n') | join('+') }}", "text", "3x+<y>"),
        ("{{ 1.5 * 2 + 2 ** 3 }}{{ 7 // 2 }}{{ 'a' + 'b' }}", "text", "11.03ab"),
        ("{{ request.body.none | default('d') }}{{ 'A'.lower() }}", "text", "da"),
        ("{{ request.body.items | where('a', 2) | length }}{{ 'aXb' | replace('X', '--') }}", "text", "1a--b"),
    ],
)
def test_a_template_makes_text_of_its_type(source: str, output: Output, expected: str) -> None:
    assert render(source, output) == expected


ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ ().__class__.__bases__[0].__subclasses__() }}",
    "{{ request['__class__'] }}",
    "{{ ''['__class__'] }}",
    "{{ ''['format'] }}",
    "{{ request|attr('__class__') }}",
    "{{ '{0.__class__}'.format(request) }}",
    "{{ '{0.__class__}'.format_map(request) }}",
    "{{ ['{0.__class__}'.format]|map('x') }}",
    "{{ request.__init__.__globals__ }}",
    "{{ lipsum.__globals__ }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ joiner }}",
    "{{ namespace(a=1) }}",
    "{{ dict(a=1) }}",
    "{{ self.__init__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ caller }}",
    "{% for i in [1] %}{{ loop._iterable }}{% endfor %}",
    "{% for i in [1] %}{{ loop.__init__ }}{% endfor %}",
    "{% macro m() %}{% endmacro %}{{ m._func }}",
    "{{ range.__init__ }}",
    "{{ request.get.__self__ }}",
    "{{ request.update({'a': 1}) }}",
    "{{ request.body.items.append(1) }}",
    "{{ request.body.pop('name') }}",
    "{{ 'x'.encode() }}",
    "{{ (1).to_bytes(9, 'big') }}",
    "{{ '<'|safe }}",
    "{% autoescape false %}{{ request.body.name }}{% endautoescape %}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% from 'os' import path %}",
    "{% extends 'x' %}",
    "{% block b %}{% endblock %}",
    "{% filter upper %}x{% endfilter %}",
    "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "{{ _budget }}",
    "{{ [1]|__turns(-999999999) }}",
    "{{ request|pprint }}",
    "{{ nothing }}",
]


@pytest.mark.parametrize("source", ESCAPES)
def test_no_template_gets_out_of_the_sandbox(source: str) -> None:
    with pytest.raises(ValueError, match=r"template"):
        render(source)


@pytest.mark.parametrize("source", ["{{ [request]|map('__class__')|first }}", "{{ [{}]|sort('__class__')|first }}"])
def test_a_filter_reads_members_and_no_attributes(source: str) -> None:
    assert render(source) in ("", "{}")


DOUBLED = "{% set a = 'xxxxxxxxxxxxxxxx' %}"
FLOODS = [
    "{{ range(999999999) }}",
    "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    "{% for a in range(9999) %}" + "x" * 50_000 + "{% endfor %}",
    "{% set b %}{% for i in range(9999) %}" + "x" * 50_000 + "{% endfor %}{% endset %}",
    "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    DOUBLED + "{% set a = a ~ a %}" * 40,
    DOUBLED + "{% set a = a + a %}" * 40,
    DOUBLED + "{% set a = [a, a]|join %}" * 40,
    DOUBLED + "{% set a = a|replace('x', a) %}" * 10,
    DOUBLED + "{% set a %}{{ a }}{{ a }}{% endset %}" * 40,
    "{% set a = [1, 2] %}" + "{% set a = [a, a] %}" * 60 + "{{ a }}",
    "{% set a = [1, 2] %}" + "{% set a = [a, a] %}" * 60 + "{{ a|tojson }}",
    "{% set a = [1, 2] %}" + "{% set a = a + a %}" * 60,
    "{{ 2**1000000000 }}",
    "{{ 9**9**9**9 }}",
    "{% set a = 9**60 %}" + "{% set a = a * a %}" * 40,
]


@pytest.mark.parametrize("source", FLOODS, ids=lambda source: source[-40:])
def test_a_template_that_would_never_end_or_fill_memory_is_ended(source: str) -> None:
    """CASES B55"""
    with pytest.raises(TooMuch):
        render(source)


@pytest.mark.parametrize(
    "source",
    ["{{ 'a' * 1000000000 }}", "{{ [1] * 1000000000 }}", "{{ '%1000000000d' % 1 }}", "{{ '%1000000000d'|format(1) }}",
     "{{ 'x'|center(1000000000) }}", "{{ 'x'.ljust(1000000000) }}", "{{ 'x'.zfill(1000000000) }}",
     "{{ 'x'|indent(1000000000) }}",
     "{{ [1]|batch(1000000000, 'x')|list }}", "{{ 'x'|wordwrap(1) }}", "{{ ('9' * 100000)|int }}", "{{ 1e308 * 10 }}"],
)  # fmt: skip
def test_what_makes_texts_of_any_length_is_not_offered(source: str) -> None:
    with pytest.raises(ValueError, match="template"):
        render(source)


def test_endless_recursion_is_an_error_of_the_template() -> None:
    with pytest.raises(ValueError, match="recursion"):
        render("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}")


def test_time_ends_a_template() -> None:
    with pytest.raises(TooMuch, match="longer"):
        render("{% for i in range(9999) %}{% endfor %}", seconds=0.0)


def test_work_beyond_what_the_loop_may_do_is_for_later() -> None:
    with pytest.raises(Later):
        render("{% for i in range(9999) %}{% endfor %}", work=20_000, final=False)


def test_what_is_written_is_bounded() -> None:
    with pytest.raises(TooMuch, match="writes"):
        render("{{ request.body.big }}", size=1000)
