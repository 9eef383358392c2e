"""What a process that is only a server imports of aiohttp: not the client; and what becomes of one that wants it."""

import subprocess
import sys

CLIENT = {"aiohttp.client", "aiohttp.connector", "aiohttp.cookiejar", "aiohttp.tracing", "aiohttp.resolver"}
LEAN = """
import sys
from mock_server.server import lean
with lean.importing():
    import mock_server.server.runner
"""


def python(code: str) -> str:
    """What a process of its own prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_server_imports_no_client() -> None:
    assert python(LEAN + f"print({CLIENT} & sys.modules.keys())") == "set()"


def test_the_version_is_that_of_aiohttp_and_no_reason_to_import_the_client() -> None:
    told = python(
        LEAN + f"from aiohttp.http import SERVER_SOFTWARE; print(SERVER_SOFTWARE, {CLIENT} & sys.modules.keys())"
    )
    whole = python("from aiohttp.http import SERVER_SOFTWARE; print(SERVER_SOFTWARE)")

    assert told == f"{whole} set()"


def test_who_asks_for_the_client_gets_it() -> None:
    code = "from aiohttp import web; import aiohttp; print(aiohttp.ClientSession.__name__, aiohttp.web is web, type(aiohttp))"

    assert python(LEAN + code) == f"ClientSession True {type(sys)}"


def test_an_import_of_everything_gets_everything() -> None:
    code = "exec('from aiohttp import *'); import aiohttp; print(set(aiohttp.__all__) <= globals().keys())"

    assert python(LEAN + code) == "True"


def test_a_name_that_is_nowhere_is_missing_as_ever() -> None:
    assert (
        python(LEAN + "import aiohttp; print(hasattr(aiohttp, 'Nothing'), hasattr(aiohttp, '__wrapped__'))")
        == "False False"
    )


def test_an_aiohttp_that_is_there_already_stays_as_it_is() -> None:
    assert (
        python("import aiohttp; before = aiohttp.ClientSession; " + LEAN + "print(aiohttp.ClientSession is before)")
        == "True"
    )


def test_what_only_some_ask_for_is_not_imported_before() -> None:
    heavy = {
        "jinja2",
        "faker",
        "jsonschema",
        "re2",
        "regex",
        "uvloop",
        "trustme",
        "fractions",
        "difflib",
        "importlib.resources",
    }
    rare = {
        f"mock_server.{name}"
        for name in (
            "api",
            "engine.endpoints.batches",
            "engine.endpoints.files",
            "engine.endpoints.models",
            "engine.render",
            "engine.unmatched",
            "server.control.handlers",
            "server.control.routes",
            "server.journal_file",
        )
    }
    code = f"import mock_server.cli; print(sorted({heavy | rare} & sys.modules.keys()))"

    assert python(LEAN + code) == "[]"


MAIL = {"email.message", "email.parser", "email.policy", "email.utils", "html", "urllib.request"}


def test_readers_of_mail_of_proxies_and_of_html_are_not_imported_for_a_server() -> None:
    assert python(LEAN + f"print({MAIL} & sys.modules.keys())") == "set()"


def test_whoever_imports_them_afterwards_gets_them() -> None:
    code = "import html, email.message; print(html.unescape('&lt;'), email.message.EmailMessage().get_content_type())"

    assert python(LEAN + code) == "< text/plain"


def test_the_first_that_aiohttp_uses_puts_all_in_their_places() -> None:
    code = """
import aiohttp.helpers, aiohttp.web_protocol
print(aiohttp.helpers.parse_content_type("text/html; charset=x"), aiohttp.helpers.parse_content_type("none"))
import html, email.message, email.policy, urllib.request
print(aiohttp.web_protocol.html_escape is html.escape, aiohttp.helpers.HTTP is email.policy.HTTP)
print(aiohttp.helpers.EnsureOctetStream.__bases__ == (email.message.EmailMessage,))
print(aiohttp.helpers.getproxies is urllib.request.getproxies)
"""
    told = "('text/html', mappingproxy({'charset': 'x'})) ('application/octet-stream', mappingproxy({}))"

    assert python(LEAN + code).splitlines() == [told, "True True", "True", "True"]


def test_what_is_there_already_needs_no_stand_in() -> None:
    code = (
        "import html; before = html.escape\n"
        + LEAN
        + "import aiohttp.web_protocol; print(aiohttp.web_protocol.html_escape is before)"
    )

    assert python(code) == "True"


def test_what_attrs_has_besides_is_there_for_whoever_asks() -> None:
    assert python(LEAN + "import attr; print(attr.validators.instance_of(int), attr.converters.to_bool('no'))") == (
        "<instance_of validator for type <class 'int'>> False"
    )


def test_a_release_of_aiohttp_may_have_them_in_annotations() -> None:
    code = """
from mock_server.server.lean import StandIns
standing = StandIns()
from html import escape
def shown(made: escape | None, other: "None | int" = None) -> escape[str]: ...
def more(made: None | escape) -> None: ...
print(type(escape).__name__, escape("<"), escape is __import__("html").escape)
"""

    assert python(code) == "Later &lt; False"
