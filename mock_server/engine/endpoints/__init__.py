"""The endpoints of the API, one file each. `ENDPOINTS` is the table: path -> method -> what answers."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from mock_server.engine.endpoints.messages import create
from mock_server.engine.exchange import Call, Exchange

if TYPE_CHECKING:
    from mock_server.engine.engine import Engine

Endpoint = Callable[["Engine", Call], Exchange]

ENDPOINTS: Mapping[str, Mapping[str, Endpoint]] = {
    "/v1/messages": {"POST": create},
}
