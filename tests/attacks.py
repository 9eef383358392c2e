"""Templates, searches, faults and control requests that would hold a server or its memory for ever. Of a template the
text, and what is told of it instead; of a search the regular expression and the text in which it finds nothing.

`TOLD` fail for their request, `REFUSED` when they are loaded. All are asked `PROMPT`.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

PROMPT = "weather in Paris, please, and a long text with it " * 4
TOLD: Mapping[str, tuple[str, str]] = {
    "nested loops over a text": (
        "{% for i in prompt %}{% for j in prompt %}{% for k in prompt %}{% endfor %}{% endfor %}{% endfor %}ok",
        "it takes more than 20,000 steps",
    ),
    "nested range": (
        "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
        "it takes more than 20,000 steps",
    ),
    "nested cheap": (
        "{% for i in range(140) %}{% for j in range(50) %}{% if i %}{% endif %}{% endfor %}{% endfor %}{% for i in range(9999) %}x{% endfor %}",
        "it takes more than 20,000 steps",
    ),
    "recursive macro": (
        "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}{{ m(25) }}",
        "it takes more than 20,000 steps",
    ),
    "deep macro": ("{% macro m(n) %}{{ m(n+1) }}{% endmacro %}{{ m(0) }}", "it goes more than 30 calls deep"),
    "namespace doubling text": (
        "{% set n = namespace(a='x'*100) %}{% for i in range(60) %}{% set n.a = n.a ~ n.a %}{% endfor %}{{ n.a | length }}",
        "it makes a text of 1,638,400 characters; 1,000,000 at most",
    ),
    "namespace doubling list": (
        "{% set n = namespace(a=['x']) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ n.a }}",
        "it takes more than 20,000 steps",
    ),
    "doubled list: eq": (
        "{% set n = namespace(a=['x'],b=['x']) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% set n.b=[n.b,n.b] %}{% endfor %}{{ n.a == n.b }}",
        "it takes more than 20,000 steps",
    ),
    "doubled list: in": (
        "{% set n = namespace(a=['x'],b=['x']) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% set n.b=[n.b,n.b] %}{% endfor %}{{ n.a in [n.b] }}",
        "it takes more than 20,000 steps",
    ),
    "doubled list: json": (
        "{% set n = namespace(a=['x']) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ n.a | tojson }}",
        "it takes more than 20,000 steps",
    ),
    "doubled list: hash": (
        "{% set n = namespace(a=('x','y')) %}{% for i in range(60) %}{% set n.a = (n.a, n.a) %}{% endfor %}{{ {n.a: 1} }}",
        "expected text or numbers to compare, got a list",
    ),
    "doubled list: hash get": (
        "{% set n = namespace(a=('x','y')) %}{% for i in range(60) %}{% set n.a = (n.a, n.a) %}{% endfor %}{{ {}.get(n.a) }}",
        "expected text or numbers to compare, got a list",
    ),
    "doubled list: hash item": (
        "{% set n = namespace(a=('x','y')) %}{% for i in range(60) %}{% set n.a = (n.a, n.a) %}{% endfor %}{{ {}[n.a] }}",
        "'dict object' has no attribute 'a list'",
    ),
    "doubled list: hash dict": (
        "{% set n = namespace(a=('x','y')) %}{% for i in range(60) %}{% set n.a = (n.a, n.a) %}{% endfor %}{{ dict([[n.a, 1]]) }}",
        "expected text or numbers to compare, got a list",
    ),
    "doubled list: sort": (
        "{% set n = namespace(a=['x']) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ [n.a,n.a]|sort }}",
        "expected text or numbers to compare, got a list",
    ),
    "doubled list: unique": (
        "{% set n = namespace(a=('x',)) %}{% for i in range(60) %}{% set n.a = (n.a, n.a) %}{% endfor %}{{ [n.a,n.a]|unique }}",
        "expected text or numbers to compare, got a list",
    ),
    "doubled list: groupby": (
        "{% set n = namespace(a=('x',)) %}{% for i in range(60) %}{% set n.a = (n.a, n.a) %}{% endfor %}{{ [{'k':n.a},{'k':n.a}]|groupby('k') }}",
        "expected text or numbers to compare, got a list",
    ),
    "doubled list: max": (
        "{% set n = namespace(a=['x']) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ [n.a,n.a]|max }}",
        "expected text or numbers to compare, got a list",
    ),
    "doubled list: join": (
        "{% set n = namespace(a=['x']) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ n.a|join }}",
        "it takes more than 20,000 steps",
    ),
    "doubled list: changed": (
        "{% set n = namespace(a=['x'],b=['x']) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% set n.b=[n.b,n.b] %}{% endfor %}{% for i in [1,2] %}{{ loop.changed(n.a if i==1 else n.b) }}{% endfor %}",
        "it takes more than 20,000 steps",
    ),
    "doubled list: percent": (
        "{% set n = namespace(a=['x']) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ '%s' % [n.a] }}",
        "it takes more than 20,000 steps",
    ),
    "doubled list: tool_result": (
        "{% set n = namespace(a=['x']) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ tool_result(n.a) }}",
        "expected text or numbers to compare, got a list",
    ),
    "doubled list: count": (
        "{% set n = namespace(a=['x'],b=['x']) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% set n.b=[n.b,n.b] %}{% endfor %}{{ [n.a].count(n.b) }}",
        "it takes more than 20,000 steps",
    ),
    "doubled list: test eq": (
        "{% set n = namespace(a=['x'],b=['x']) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% set n.b=[n.b,n.b] %}{% endfor %}{{ [n.a] | select('eq', [n.b]) }}",
        "it takes more than 20,000 steps",
    ),
    "deep json": (
        "{% set n = namespace(a=[]) %}{% for i in range(900) %}{% set n.a = [n.a] %}{% endfor %}{{ n.a|tojson(indent=16) }}",
        "it makes a text of 6,503,418 characters; 1,000,000 at most",
    ),
    "format": ("{{ '{:900000000}'.format(1) }}", "a text has no 'format' in a template"),
    "percent width": ("{{ '%900000000d' % 1 }}", "it asks for a width of 900000000; 1,000 at most in a '%'"),
    "percent star": ("{{ '%*d' % (900000000, 1) }}", "it takes the width of a '%' from a value; write it out"),
    "percent precision": ("{{ '%.900000000f' % 1 }}", "it asks for a width of 900000000; 1,000 at most in a '%'"),
    "percent many": ("{{ ('%999d' * 10000) % range(10000)|list }}", "it takes more than 20,000 steps"),
    "percent same": (
        "{{ ('%(a)s' * 5000) % {'a': 'x' * 5000} }}",
        "it makes a text of 26,680,000 characters; 1,000,000 at most",
    ),
    "tojson indent": ("{{ [[[[1]]]] | tojson(indent=900000000) }}", "it asks for an indent of 900,000,000; 16 at most"),
    "tojson indent text": (
        "{{ [[[[1]]]] | tojson(indent='x' * 500000) }}",
        "it asks for an indent of 500,000; 16 at most",
    ),
    "slice": ("{{ [1] | slice(900000000) | list }}", "it asks for a number of columns of 900,000,000; 10,000 at most"),
    "slice fill": ("{{ [1] | slice(9999, 'x') }}", "the templates of a reply give more than 50,000 characters"),
    "batch": ("{{ [1] | batch(900000000, 'x') | list }}", "it asks for a row of 900,000,000; 10,000 at most"),
    "sum of lists": ("{{ [range(9999)|list]*99 | sum(start=[]) }}", "a number has no items to go through"),
    "sum lists": ("{{ ([range(99)|list]*9999) | sum(start=[]) | length }}", "it takes more than 20,000 steps"),
    "translate": ("{{ 'xxxxxxxx'.translate({120: 'y' * 100000}) }}", "a text has no 'translate' in a template"),
    "fake texts": ("{{ fake.texts(10000, 10000) }}", "ValueError: 100,000,000 is too much; 10,000 at most"),
    "fake text": ("{{ fake.text(10000000) }}", "ValueError: 10,000,000 is too much; 10,000 at most"),
    "fake text many": (
        "{% for i in range(5000) %}{{ fake.text(10000) }}{% endfor %}",
        "it takes more than 20,000 steps",
    ),
    "fake paragraphs": ("{{ fake.paragraphs(10000) }}", "it takes more than 20,000 steps"),
    "fake pystruct": ("{{ fake.pystruct(10000) }}", "it takes more than 20,000 steps"),
    "fake words": ("{{ fake.words(10000) | length }}", "it takes more than 20,000 steps"),
    "fake ext words": (
        "{{ fake.text(10000, ext_word_list=['x' * 100000]) }}",
        "ValueError: ext_word_list of a fake method is a list of short words and numbers",
    ),
    "fake lexify": (
        "{{ fake.lexify('?' * 1000000) }}",
        "ValueError: text of a fake method has 1,000,000 characters or items; 1,000 at most",
    ),
    "fake elements": (
        "{{ fake.random_elements(elements=[prompt * 100], length=10000) }}",
        "ValueError: elements of a fake method is a list of short words and numbers",
    ),
    "fake password": ("{{ fake.password(length=100000000) }}", "ValueError: 100,000,000 is too much; 10,000 at most"),
    "fake digits": ("{{ fake.random_number(digits=100000000) }}", "ValueError: 100,000,000 is too much; 100 at most"),
    "fake random_int": (
        "{% for i in range(9999) %}{% set x = fake.random_int(1, 10**18) %}{% endfor %}",
        "it takes more than 20,000 steps",
    ),
    "fake cast": (
        "{% macro m(x) %}{{ fake.uuid4(cast_to=m) }}{% endmacro %}{{ fake.uuid4(cast_to=m) }}",
        "ValueError: cast_to of a fake method is a number, a text or a list of these",
    ),
    "set block": (
        "{% set a %}{% for i in range(9999) %}{{ 'x' * 9999 }}{% endfor %}{% endset %}{{ a | length }}",
        "it takes more than 20,000 steps",
    ),
    "set block data": (
        "{% set a %}"
        + "y" * 50000
        + "{% endset %}{% for i in range(9999) %}{% set b %}"
        + "x" * 30000
        + "{% endset %}{% endfor %}",
        "it takes more than 20,000 steps",
    ),
    "call block": (
        "{% macro m() %}{% for i in range(9999) %}{{ caller() }}{% endfor %}{% endmacro %}{% call m() %}"
        + "x" * 9000
        + "{% endcall %}",
        "it takes more than 20,000 steps",
    ),
    "call recursion": (
        "{% macro m() %}{% call m() %}{% endcall %}{% endmacro %}{{ m() }}",
        "TypeError: macro 'm' was invoked with two values for the special caller argument. This is most likely a bug.",
    ),
    "filter block": (
        "{% for i in range(9999) %}{% filter upper %}" + "x" * 9000 + "{% endfilter %}{% endfor %}",
        "it takes more than 20,000 steps",
    ),
    "recursive loop": (
        "{% for i in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}",
        "it goes more than 30 calls deep",
    ),
    "recursive loop wide": (
        "{% for i in range(99) recursive %}{{ loop(range(99)) if loop.depth < 5 }}{% endfor %}",
        "it takes more than 20,000 steps",
    ),
    "text times": ("{{ 'x' * 900000000 }}", "it makes a text of 900,000,000 characters; 1,000,000 at most"),
    "list times": ("{{ [1] * 900000000 }}", "it makes a list of 900,000,000 items; 10,000 at most"),
    "times twice": ("{{ 'x' * 9000 * 9000 * 9000 }}", "it makes a text of 81,000,000 characters; 1,000,000 at most"),
    "power loop": (
        "{% set n = namespace(a=9) %}{% for i in range(60) %}{% set n.a = n.a * n.a %}{% endfor %}{{ n.a }}",
        "it makes a whole number of more than 4,096 bits",
    ),
    "power float": ("{{ 9.0 ** 9999 }}", "OverflowError: (34, 'Numerical result out of range')"),
    "int text": ("{{ ('9' * 900000) | int }}", "it gives a text of 900,000 characters where 1,000 are the most"),
    "int base": ("{{ ('z' * 4000) | int(base=36) }}", "it gives a text of 4,000 characters where 1,000 are the most"),
    "range": ("{{ range(900000000) | list }}", "it makes a list of 900,000,000 items; 10,000 at most"),
    "range huge": ("{{ range(10**30) | length }}", "it makes a list of 10^30 items; 10,000 at most"),
    "join": (
        "{{ range(9999) | join('x' * 9999) | length }}",
        "it makes a text of 100,008,888 characters; 1,000,000 at most",
    ),
    "join method": (
        "{{ ('x' * 9999).join(['a'] * 9999) | length }}",
        "it makes a text of 99,980,001 characters; 1,000,000 at most",
    ),
    "replace": (
        "{{ ('x' * 9999) | replace('x', 'y' * 9999) | length }}",
        "it makes a text of 99,980,001 characters; 1,000,000 at most",
    ),
    "replace method": (
        "{{ ('x' * 9999).replace('', 'y' * 9999) | length }}",
        "it makes a text of 99,999,999 characters; 1,000,000 at most",
    ),
    "replace many": (
        "{% for i in range(9999) %}{% set a = ('ab' * 9999).replace('a', 'bb') %}{% endfor %}",
        "it takes more than 20,000 steps",
    ),
    "center": ("{{ 'x' | center(900000000) }}", "it asks for a width of 900,000,000; 10,000 at most"),
    "center method": ("{{ 'x'.center(900000000) }}", "it asks for a width of 900,000,000; 10,000 at most"),
    "ljust": ("{{ 'x'.ljust(900000000) }}", "it asks for a width of 900,000,000; 10,000 at most"),
    "zfill": ("{{ 'x'.zfill(900000000) }}", "it asks for a width of 900,000,000; 10,000 at most"),
    "expandtabs": (
        "{{ ('\t' * 9999).expandtabs(9999) }}",
        "it makes a text of 99,990,000 characters; 1,000,000 at most",
    ),
    "wordwrap": ("{{ ('a-' * 99999) | wordwrap(1) | length }}", "it takes more than 20,000 steps"),
    "wordwrap string": (
        "{{ ('a ' * 9999) | wordwrap(1, wrapstring='x' * 9999) | length }}",
        "it gives a text of 9,999 characters where 1,000 are the most",
    ),
    "wordwrap long": ("{{ (('a' * 900 ~ ' ') * 99) | wordwrap(1) | length }}", "it takes more than 20,000 steps"),
    "indent": ("{{ ('\n' * 9999) | indent(9999) | length }}", "it asks for an indent of 9,999; 1,000 at most"),
    "indent text": (
        "{{ ('a\n' * 9999) | indent('x' * 9999) | length }}",
        "it gives a text of 9,999 characters where 1,000 are the most",
    ),
    "striptags": ("{{ ('<' * 99999) | striptags | length }}", "it takes more than 20,000 steps"),
    "striptags comments": ("{{ ('<!--' * 99999) | striptags | length }}", "it takes more than 20,000 steps"),
    "striptags many": ("{{ ('<a>' * 99999) | striptags | length }}", "it takes more than 20,000 steps"),
    "escape": ("{{ ('&' * 300000) | escape | length }}", "it makes a text of 1,500,000 characters; 1,000,000 at most"),
    "groupby": ("{{ (range(9999)|list) | groupby('a') | length }}", "it takes more than 20,000 steps"),
    "sort long": ("{{ (['x' * 9999] * 9999) | sort | length }}", "it takes more than 20,000 steps"),
    "map sort": (
        "{{ ([prompt] * 9999) | map('list') | map('sort') | list | length }}",
        "it takes more than 20,000 steps",
    ),
    "map center": ("{{ (['x'] * 9999) | map('center', 9999) | list | length }}", "it takes more than 20,000 steps"),
    "map map": ("{{ ([['x'] * 99] * 99) | map('map', 'map', 'upper') | list }}", "it takes more than 20,000 steps"),
    "select in": (
        "{{ range(9999) | select('in', range(9999)|list) | list | length }}",
        "it takes more than 20,000 steps",
    ),
    "string times": (
        "{{ (prompt | string) * 900000000 }}",
        "it makes a text of 180,000,000,000 characters; 1,000,000 at most",
    ),
    "slicing": (
        "{% for i in range(9999) %}{% set a = ('x' * 9999)[::-1] %}{% endfor %}",
        "it takes more than 20,000 steps",
    ),
    "tilde": (
        "{% set a = 'x' * 9999 %}{% for i in range(9999) %}{% set b = a ~ a ~ a ~ a ~ a ~ a %}{% endfor %}",
        "it takes more than 20,000 steps",
    ),
    "dict": (
        "{% for i in range(9999) %}{% set d = dict(range(99)|list|map('string')|list|batch(2)|list) %}{% endfor %}",
        "it takes more than 20,000 steps",
    ),
    "cycler": (
        "{% set c = cycler(*range(9999)) %}{% for i in range(9999) %}{{ c.next() }}{% endfor %}",
        "it takes more than 20,000 steps",
    ),
    "joiner": (
        "{% set j = joiner('x' * 9999) %}{% for i in range(9999) %}{{ j() }}{% endfor %}",
        "it takes more than 20,000 steps",
    ),
    "attribute chain": (
        "{{ request.messages[0].content.__class__.__mro__ }}",
        "a text has no '__class__' in a template",
    ),
    "attribute path": (
        "{{ ([{'a': 1}] * 9999) | map(attribute='a' ~ '.a' * 9999) | list | length }}",
        "it gives a text of 19,999 characters where 1,000 are the most",
    ),
    "strftime": ("{{ now.strftime('%Y' * 100000) }}", "it gives a text of 200,000 characters where 1,000 are the most"),
    "strftime width": (
        "{{ now.strftime('%999999999Y') }}",
        "it formats a time by more than 200 characters, or by a width",
    ),
    "truncate": (
        "{{ ('x' * 9999) | truncate(900000000, end='y') }}",
        "it asks for a length of 900,000,000; 1,000,000 at most",
    ),
    "round": ("{{ 5 | round(-900000000) }}", "it asks for a precision of 900,000,000; 100 at most"),
    "find bad needle": (
        "{% for i in range(9999) %}{{ ('a' * 5000 ~ 'b') in 'a' * 100000 }}{% endfor %}",
        "it takes more than 20,000 steps",
    ),
    "strip many": (
        "{{ (prompt * 9999).strip(prompt * 9) | length }}",
        "it makes a text of 1,999,800 characters; 1,000,000 at most",
    ),
    "split": ("{{ ('a ' * 400000).split() | length }}", "it makes a list of 10,001 items; 10,000 at most"),
    "splitlines": ("{{ ('\n' * 900000).splitlines() | length }}", "it makes a list of 900,000 items; 10,000 at most"),
    "title": ("{{ ('a ' * 300000) | title | length }}", "it takes more than 20,000 steps"),
    "wordcount": ("{{ ('a ' * 300000) | wordcount }}", "it takes more than 20,000 steps"),
    "big int text": ("{% for i in range(9999) %}{{ 9 ** 1200 }}{% endfor %}", "it takes more than 20,000 steps"),
    "big int div": (
        "{% set a = 9 ** 1200 %}{% for i in range(9999) %}{% set b = a // 7 % a %}{% endfor %}",
        "it makes a whole number of more than 4,096 bits",
    ),
    "literal list": (
        "{% for i in range(9999) %}{% set a = [" + "0," * 900 + "] %}{% endfor %}",
        "it takes more than 20,000 steps",
    ),
    "and chain": (
        "{% for i in range(9999) %}{% if " + " and ".join(["1"] * 200) + " %}{% endif %}{% endfor %}",
        "it takes more than 20,000 steps",
    ),
    "kwargs": (
        "{% macro m() %}{{ kwargs }}{{ varargs }}{% endmacro %}{{ m(*range(9999)) }}{{ m(**{'a': 'x' * 90000}) }}",
        "the templates of a reply give more than 50,000 characters",
    ),
    "loop length": (
        "{% for i in prompt if i %}{{ loop.length }}{{ loop.nextitem }}{% endfor %}",
        "there is no next item",
    ),
    "loop previtem str": ("{% for i in [1,2] %}{{ loop }}{% endfor %}", "a loop is no text"),
    "output": (
        "{% for i in range(999) %}" + "x" * 90 + "{% endfor %}",
        "the templates of a reply give more than 50,000 characters",
    ),
}
REFUSED: Mapping[str, tuple[str, str]] = {
    "fake pystr_format": (
        "{{ fake.pystr_format('{{texts}}' * 1000) }}",
        "unknown fake.pystr_format, or it reads the clock (use now); did you mean 'pyfloat'?",
    ),
    "urlize": ("{{ 'http://x' | urlize }}", "no filter named 'urlize'"),
    "xmlattr": ("{{ {'a': 1} | xmlattr }}", "no filter named 'xmlattr'"),
    "lipsum": ("{{ lipsum(100000) }}", "unknown name 'lipsum' in a template"),
    "include": ("{% include 'x' %}", "a template cannot load another one"),
    "extends": ("{% extends 'x' %}", "a template cannot load another one"),
    "block": (
        "{% block a %}{{ self.a() }}{% endblock %}",
        "a template has no blocks, as none can be extended; write the text itself",
    ),
    "literal": (
        "{{ [" + "0," * 30000 + "] | length }}",
        "a template is made of 5,000 parts at most; this one has 30,004",
    ),
    "many filters": ("{{ 'x'" + " | upper" * 1500 + " }}", "not a template: nested too deeply"),
    "deep parens": ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "not a template: nested too deeply"),
    "deep not": ("{{ " + "not " * 3000 + "1 }}", "not a template: nested too deeply"),
    "deep if": ("{% if 1 %}" * 200 + "{% endif %}" * 200, "not a template: nested too deeply"),
    "long int": ("{{ " + "9" * 5000 + " }}", "not a template: a number in it is too long"),
    "unterminated": ("{{ '" + "x" * 50000, 'not a template: unexpected char "\'" at 3'),
    "comment": ("{#" * 30000, "not a template: Missing end of comment tag"),
}

SEARCHES = [
    (r"(a+)+$", "a" * 60 + "!"),
    (r"(?:a{1,9}){1,9}c", "a" * 60),
    (r"(a)(\1|a)+b", "a" * 60),
    (r"(?:(?:(?i:a)){2,3})+c", "a" * 60),
    (r"(?:(?=(a+))a)*b", "a" * 3_000),
    (r"^(?:\w+\s?)*\B\b$", "a" * 60 + "!"),
    (r"(?:a?){60}a{60}", "a" * 59),
    (r"(?:[ab]{1,30}a){25}c", "ab" * 50_000),
    (r"(?:a|b)*a(?:a|b){15}c", "abba" * 100_000),
    (r"\w.*x.*y.*z", "word " * 20_000),
    (r"(x+x+)+y(?=z)", "x" * 60),
    (r"(?=(a+)+$)b|(?=(a+)+$)c", "a" * 60 + "!"),
]

# faults that a request asks for itself, of a reply of 3,000 words that is streamed, and the status it gets
BENT = "word " * 3_000
FAULTS: Mapping[str, tuple[str, int]] = {
    "a field in every event, a hundred times": (", ".join(["extra_fields"] * 100), 200),
    "other framing, a hundred times": (", ".join(["wire"] * 100), 200),
    "a byte at a time, a hundred times": (", ".join(["trickle;bytes_per_second=100000000"] * 100), 200),
    "100 MB of garbage": (", ".join(["garbage;bytes=1000000"] * 100), 200),
    "2,500 faults": (", ".join(["duplicate_event"] * 2_500), 400),
    "6,000 faults that nobody knows": (",".join(["disconect"] * 6_000), 400),
    "5,000 keys that nobody knows": ("disconnect;" + ";".join(f"aftr{at}=1" for at in range(5_000)), 400),
    "a ping each microsecond": ("stall;ping=1us", 400),
    "a comment each microsecond at a gate": ("gate;name=g;keepalive=1us", 400),
    "60 KB in every event": (f"edit;event=content_block_delta;nth=all;set.delta.text={'x' * 60_000}", 200),
    "a list that each path makes longer": (
        json.dumps(
            {
                "type": "edit",
                "event": "message_start",
                "set": {"z": [0] * 100, **{"z" + "[*]" * times: [0] * 100 for times in range(1, 9)}},
            }
        ),
        200,
    ),
    "a path of 9,000 steps": ("edit;event=message_start;set.message" + ".a" * 9_000 + "=1", 400),
    "an index of 5,000 digits": (f"edit;event=message_start;set.message.content[{'9' * 5_000}]=1", 400),
    "20,000 brackets": ("[" * 20_000, 400),
}

# prompts, where a scenario looks for a word with an accent
ACCENT = {"name": "accent", "when": {"prompt": {"contains": "élan"}}, "reply": "Oui"}
TEXTS: Mapping[str, str] = {
    "a letter with 300,000 marks": "a" + "\u0301\u0323" * 150_000,
    "a letter with 60,000 marks": "a" + "\u0323\u0301" * 30_000,
    "2 MB of letters with accents apart": "nai\u0308ve cafe\u0301 " * 130_000,
    "300,000 letters of many parts": "\ufdfa\u1e69\u0390" * 100_000,
    "300,000 letters and none that ends a word": "\uac00\u11a8" * 150_000,
}


class Asked(NamedTuple):
    """A request to the control API: what it sends, and the status it gets."""

    method: str
    path: str
    body: Callable[[], bytes]
    status: int
    type: str = "application/json"


def _request(text: str) -> bytes:
    said: dict[str, Any] = {
        "model": "claude-opus-4-8",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": text}],
    }
    return json.dumps({"request": said}, ensure_ascii=False).encode()


CONTROL: Mapping[str, Asked] = {
    "a state of 20 MB": Asked("PUT", "states", lambda: json.dumps({"a": "x" * 20_000_000}).encode(), 413),
    "100,000 states": Asked(
        "PUT", "states", lambda: json.dumps({f"s{at}": "up" for at in range(100_000)}).encode(), 413
    ),
    "5,000 overlays": Asked(
        "POST", "chaos", lambda: json.dumps([{"name": f"o{at}", "fault": "reset"} for at in range(5_000)]).encode(), 413
    ),
    "1,000 overlays": Asked(
        "POST", "chaos", lambda: json.dumps([{"name": f"o{at}", "fault": "reset"} for at in range(1_000)]).encode(), 413
    ),
    "an overlay of 1,000 faults": Asked(
        "POST", "chaos", lambda: json.dumps({"name": "o", "fault": ["reset"] * 1_000}).encode(), 422
    ),
    "60,000 keys that nobody knows": Asked(
        "POST",
        "scenarios",
        lambda: ("name: a\nreply: b\n" + "".join(f"repli{at}: 1\n" for at in range(60_000))).encode(),
        422,
        "application/yaml",
    ),
    "a line of 500,000 dashes": Asked(
        "POST", "scenarios", lambda: ("name: a\nreply:\n" + "- " * 500_000).encode(), 422, "application/yaml"
    ),
    "20,000 anchors, and one with a name of 1 MB": Asked(
        "POST",
        "scenarios",
        lambda: f"name: &{'b' * 1_000_000} a\nreply: [{','.join(f'&a{at} x' for at in range(20_000))}]".encode(),
        422,
        "application/yaml",
    ),
    "a line of 1.5 MB that is no YAML": Asked(
        "POST", "scenarios", lambda: ("name: a\nreply: " + "a: " * 500_000).encode(), 422, "application/yaml"
    ),
    "an explanation of 2 MB in letters with accents apart": Asked(
        "POST", "explain", lambda: _request("nai\u0308ve cafe\u0301 " * 130_000), 200
    ),
    "a preview of a long reply with 99 faults": Asked(
        "POST",
        "preview",
        lambda: json.dumps({"yaml": f"name: a\nreply: {BENT}\nfault: [{', '.join(['extra_fields'] * 99)}]"}).encode(),
        200,
    ),
    "a sequence of 5,000 conditions": Asked(
        "POST", "verify", lambda: json.dumps({"sequence": [{"prompt": {"regex": "(a+)+b"}}] * 5_000}).encode(), 200
    ),
}
