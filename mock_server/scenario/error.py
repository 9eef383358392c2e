"""An error reply, as authors write it: `overloaded_error`, `529`, or its keys."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from mock_server.protocol.errors import STATUS, TYPE
from mock_server.records import dataclass
from mock_server.scenario.decode import Reads, decode
from mock_server.scenario.node import Mistakes, Node, Problems, is_int, one_of
from mock_server.scenario.templates import Rendered
from mock_server.scenario.timing import Duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error reply. Written `error: overloaded_error`, `error: 529` or with these keys."""

    noun: ClassVar[str] = "error"
    separate: ClassVar[bool] = True
    elsewhere: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("then", "fault", "gate", "timing", "headers", "when", "expect"), "it stands beside error, not inside"
    )
    type: str | None = None
    """The error's type, such as overloaded_error."""
    status: int | None = None
    """The HTTP status; by default the type's own."""
    message: Rendered | None = None
    """What it says: a text, or {template: …}."""
    retry_after: Duration | None = None
    """The header retry-after, such as 2s."""
    retry_after_ms: int | None = None
    """The header retry-after-ms, in milliseconds."""
    should_retry: bool | None = None
    """The header x-should-retry."""
    details: Mapping[str, Any] | None = None
    """More keys of the error object."""

    def mistakes(self) -> Mistakes:
        if self.type is None and self.status is None:
            yield (), f"an error needs a type (one of {', '.join(STATUS)}) or a status"
        if self.status is not None and not 400 <= self.status <= 599:
            yield ("status",), f"an error status is 400 to 599, got {self.status}"
        elif self.type is None and self.status is not None and self.status not in TYPE:
            yield ("status",), f"status {self.status} has no error type of its own; add a type"
        if self.type is not None and self.type.isdecimal():
            yield ("type",), f"a status is a number; write it without quotes: {self.type}"
        elif self.type is not None and self.type not in STATUS and self.status is None:
            expected = one_of(self.type, STATUS, ", or a status beside it")
            yield ("type",), f"unknown error type '{self.type}'{expected}"

    @property
    def error_type(self) -> str:
        return self.type if self.type is not None else TYPE[self.status or 500]

    @property
    def http_status(self) -> int:
        return self.status if self.status is not None else STATUS.get(self.error_type, 400)


def written_out(node: Node) -> Node:
    """`overloaded_error` or `529` with its key."""
    if isinstance(node.value, str):
        return node.under("type")
    return node.under("status") if is_int(node.value) else node


def read_failure(node: Node, problems: Problems) -> Failure | None:
    """The error of a fault, where the shorthand is not written out before."""
    found: Failure | None = decode(Failure, written_out(node), problems)
    return found


FaultError = Annotated[Failure, Reads(read_failure)]
