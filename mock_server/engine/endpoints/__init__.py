"""The endpoints of the API, one file each. `ENDPOINTS` is the table: path -> method -> what answers.

A path may have `{name}` for one part, and at its end `{name...}` for all that is left: `Call.params` has what stood
there. What is served with GET is served with HEAD too. A new family of endpoints is a name in `profile.Family`, which
a profile can switch off, and a row in `FAMILIES`.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from mock_server.deferred import Deferred
from mock_server.engine.endpoints.count_tokens import count_tokens
from mock_server.engine.endpoints.count_tokens import read as read_counted
from mock_server.engine.endpoints.count_tokens import read_ahead as read_count
from mock_server.engine.endpoints.messages import create
from mock_server.engine.endpoints.messages import read_ahead as read_message
from mock_server.engine.exchange import Call, Exchange, Reader
from mock_server.protocol.profile import OPERATIONS, Family

if TYPE_CHECKING:
    from mock_server.engine.endpoints import batches as _batches
    from mock_server.engine.endpoints import complete as _complete
    from mock_server.engine.endpoints import files as _files
    from mock_server.engine.endpoints import models as _models
    from mock_server.engine.engine import Engine
else:  # what most clients never ask for
    _batches, _complete, _files, _models = (
        Deferred(f"{__name__}.{one}", globals()) for one in ("batches", "complete", "files", "models")
    )

Endpoint = Callable[["Engine", Call], Exchange]

ENDPOINTS: Mapping[str, Mapping[str, Endpoint]] = {
    "/v1/messages": {"POST": create},
    "/v1/messages/batches": {"POST": _batches.create, "GET": _batches.list_all},
    "/v1/messages/batches/{id}": {"GET": _batches.get, "DELETE": _batches.delete},
    "/v1/messages/batches/{id}/cancel": {"POST": _batches.cancel},
    "/v1/messages/batches/{id}/results": {"GET": _batches.results},
    "/v1/files": {"POST": _files.upload, "GET": _files.list_all},
    "/v1/files/{id}": {"GET": _files.get, "DELETE": _files.delete},
    "/v1/files/{id}/content": {"GET": _files.content},
    "/v1/messages/count_tokens": {"POST": count_tokens},
    "/v1/models": {"GET": _models.listed},
    "/v1/models/{id...}": {"GET": _models.retrieved},
    "/v1/complete": {"POST": _complete.complete},
}
# what makes of a body whatever changes nothing: done apart from the loop where the body is large
READERS: Mapping[str, Reader] = {
    "/v1/messages": read_message,
    "/v1/messages/count_tokens": read_count,
    "/v1/messages/batches": _batches.read,
    "/v1/complete": _complete.read_ahead,
}
MAX_BODY = 32 << 20
# bytes that the body of a request may have, where it is not `MAX_BODY`; a form has limits of its own
BODIES: Mapping[str, int] = {"/v1/messages/batches": 256 << 20}

# those that tell messages: faults strike inside them, where the stream is known
MESSAGES = frozenset((create, _complete.complete))
# what scenarios call each
NAMES: Mapping[Endpoint, str] = {
    ENDPOINTS[path][method]: name for path, methods in OPERATIONS.items() for method, name in methods.items()
}
# of the others: what raises the error of a request that breaks a rule, before a scenario is asked about it
JUDGES: Mapping[Endpoint, Reader] = {count_tokens: read_counted, _batches.create: _batches.read}

# what the paths of a family begin with
FAMILIES: Mapping[str, Family] = {
    "/v1/messages/count_tokens": "count_tokens",
    "/v1/messages/batches": "batches",
    "/v1/models": "models",
    "/v1/files": "files",
    "/v1/complete": "complete",
}


def family(pattern: str) -> Family | None:
    """The family a path of the table belongs to; None for /v1/messages."""
    return next((name for path, name in FAMILIES.items() if pattern.startswith(path)), None)
