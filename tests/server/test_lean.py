"""What a process that is only a server imports of aiohttp: not the client; and what becomes of one that wants it."""

import subprocess
import sys

CLIENT = {"aiohttp.client", "aiohttp.connector", "aiohttp.cookiejar", "aiohttp.tracing", "aiohttp.resolver"}
LEAN = "import sys; from mock_server.server import lean; lean.without_client(); "


def python(code: str) -> str:
    """What a process of its own prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_server_imports_no_client() -> None:
    assert python(LEAN + f"import mock_server.server.runner; print({CLIENT} & sys.modules.keys())") == "set()"


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
    rare = {f"mock_server.{name}" for name in ("client", "api", "verbs")}
    code = f"import mock_server.cli, mock_server.server.runner; print(sorted({heavy | rare} & sys.modules.keys()))"

    assert python(LEAN + code) == "[]"
