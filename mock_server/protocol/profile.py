"""What one emulated API offers. Filled from `profiles/*.yaml`; no rule of any one API is written here."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import field, fields, replace
from datetime import date
from typing import Any, Literal, get_args

from mock_server.protocol.errors import STATUS
from mock_server.records import dataclass, lazy

_NATIVE = re.compile(r"(claude-[a-z]+)-(\d+)(?:-(\d{1,2}))?(?:-\d{8})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Rate limits: per minute, but for `requests_per_second`; None: no such limit. `tokens` is input and output."""

    requests: int | None = None
    """Requests a minute."""
    input_tokens: int | None = None
    """Input tokens a minute."""
    output_tokens: int | None = None
    """Output tokens a minute."""
    tokens: int | None = None
    """Input and output tokens a minute."""
    requests_per_second: int | None = None
    """Requests a second."""

    def mistakes(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """What is well-formed but cannot work, as (path to the key, text)."""
        for one in fields(self):
            value = getattr(self, one.name)
            if value is not None and value < 1:
                yield (one.name,), f"{one.name} is 1 or more, got {value}"


# what /v1/models says of a model beside its thinking and its efforts
Capability = Literal[
    "batch",
    "citations",
    "clear_thinking_20251015",
    "clear_tool_uses_20250919",
    "code_execution",
    "compact_20260112",
    "compaction",
    "image_input",
    "pdf_input",
    "programmatic_tools",
    "structured_outputs",
    "web_search",
]

Effort = Literal["low", "medium", "high", "xhigh", "max"]
EFFORTS: tuple[Effort, ...] = get_args(Effort)
# where a reply was made, as its usage has it
Geo = Literal["global", "not_available"]


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model: the id that replies carry, other names it answers to, its limits in tokens, and what it can do.

    What is None or left at its default is not judged: a model of which nobody knows the rules accepts everything.
    Facts and their sources: docs/protocol.md B.6, B.7, G.1 and G.2.

    `thinking`: the modes it accepts. `thinking_default`: what happens without the parameter. `efforts`: the levels it
    accepts, empty when it has none; `thinking_efforts`: those at which thinking cannot be disabled. `fast`: has a fast
    mode. `sampling`: `free`, `one` (not temperature and top_p together) or `fixed` (only the defaults).
    `signed_text`: a signature covers the text of its thought. `bound_thinking`: its thinking is for itself and one
    conversation only. `over_window`: input and max_tokens over the window are an `error`, or the reply will `stop`
    there. `token_factor`: tokens per estimated token. `tool_tokens`: the hidden prompt of tools, `forced_tool_tokens`
    when one must be called. `thinking_tokens`: that of thinking with a budget. `image_tokens` and `image_side`: what an
    image costs at most, and the pixels it is scaled down to. `page_tokens`: what a page of a PDF costs. `media`: images
    and pages of a request. `timing`: the pace of its replies as a scenario would write it; what it means is no matter
    of the protocol. `inference_geo`: where its replies say they were made. `thinking_usage`: whether the usage counts
    the tokens of thinking, 0 too: `always`, or where thinking was `asked` for. `created`, `deprecated`, `retires`:
    dates. `lacks`: the capabilities it is listed without. `fallbacks`: the models it is listed to fall back to; None:
    not known.
    """

    id: str
    aliases: tuple[str, ...] = ()
    display_name: str = ""
    created: str = ""
    line: Literal["haiku", "sonnet", "opus", "fable", "mythos"] | None = None
    lifecycle: Literal["active", "deprecated", "retired"] = "active"
    deprecated: str | None = None
    retires: str | None = None
    context_window: int | None = None
    max_output: int | None = None
    thinking: tuple[Literal["adaptive", "between_tools", "disabled", "enabled"], ...] | None = None
    thinking_default: Literal["off", "on", "always"] = "off"
    thinking_display: Literal["summarized", "omitted"] = "summarized"
    efforts: tuple[Effort, ...] | None = None
    effort: Effort = "high"
    thinking_efforts: tuple[Effort, ...] = ()
    fast: bool = True
    prefill: bool = True
    forced_tools: bool = True
    sampling: Literal["free", "one", "fixed"] = "free"
    system_messages: bool = True
    signed_text: bool = True
    bound_thinking: bool = False
    over_window: Literal["error", "stop"] = "stop"
    cache_minimum: int = 1024
    token_factor: float = 1.0
    tool_tokens: int = 346
    forced_tool_tokens: int = 346
    thinking_tokens: int = 0
    image_tokens: int = 1568
    image_side: int = 1568
    page_tokens: int = 2400
    media: int = 600
    limits: Limits | None = None
    timing: Mapping[str, Any] | str | None = None
    inference_geo: Geo = "global"
    thinking_usage: Literal["always", "asked"] = "asked"
    lacks: tuple[Capability, ...] = ()
    fallbacks: tuple[str, ...] | None = None

    def mistakes(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """What is well-formed but cannot work, as (path to the key, text)."""
        for name in ("created", "deprecated", "retires"):
            value = getattr(self, name)
            if value and not _is_date(value):
                yield (name,), f"expected a date such as 2026-05-28, got {value!r}"
        for name in ("context_window", "max_output", "cache_minimum", "image_tokens", "image_side", "media"):
            value = getattr(self, name)
            if value is not None and value < 1:
                yield (name,), f"{name} is 1 or more, got {value}"
        if not 0.1 <= self.token_factor <= 10:
            yield ("token_factor",), f"token_factor is 0.1 to 10, got {self.token_factor}"


# groups of endpoints beside /v1/messages
Family = Literal["count_tokens", "models", "batches", "files", "complete"]
# what is done at each path by each method, under the name that scenarios have for it: that of the family, and in a
# family of several what of it
OPERATIONS: Mapping[str, Mapping[str, str]] = {
    "/v1/messages": {"POST": "messages"},
    "/v1/messages/batches": {"POST": "batches.create", "GET": "batches.list"},
    "/v1/messages/batches/{id}": {"GET": "batches.get", "DELETE": "batches.delete"},
    "/v1/messages/batches/{id}/cancel": {"POST": "batches.cancel"},
    "/v1/messages/batches/{id}/results": {"GET": "batches.results"},
    "/v1/files": {"POST": "files.upload", "GET": "files.list"},
    "/v1/files/{id}": {"GET": "files.get", "DELETE": "files.delete"},
    "/v1/files/{id}/content": {"GET": "files.content"},
    "/v1/messages/count_tokens": {"POST": "count_tokens"},
    "/v1/models": {"GET": "models.list"},
    "/v1/models/{id...}": {"GET": "models.get"},
    "/v1/complete": {"POST": "complete"},
}
# shapes of a request that a newer version of the API refuses: docs/protocol.md 0
Refusable = Literal["sampling", "assistant_documents", "user_citations"]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One emulated API.

    `native_prefix`: native Anthropic ids map to this prefix and dots: `claude-opus-4-8` -> `anthropic/claude-opus-4.8`.
    `refused_since`: shapes that are an error from a version on. `betas`: the values `anthropic-beta` may have; none
    listed: any (globs). `refused_tools`: tool types it does not have. `organization`, `workspace`: for the headers that
    say whose key it was. `limits`: rate limits of a model that has none of its own; `rate_limit_headers`: replies say
    what is left of them. `priority_tier`: requests are served by it unless they ask for `standard_only`.
    `complete_usage`: send every usage counter, zeros too. `encrypted_results`: search results carry
    `encrypted_content`. `callers`: a call tells that the model made it. `thinking_display`: how thoughts are shown to a
    request that does not say; None: as its model does it. `threads`: conversations can be held here. `any_model`: a
    name that is not listed is a model too, without limits. `endpoints`: families of endpoints that are served or not;
    those not named are. `catalogues`: lists of model ids, of which `catalogue` is offered; `added` models always are.
    """

    name: str
    models: tuple[Model, ...]
    native_prefix: str | None = None
    versions: tuple[str, ...] = ()
    default_version: str = "2023-06-01"
    version_required: bool = False
    refused_since: Mapping[str, str] = field(default_factory=dict)
    unknown_parameters: Literal["ignore", "error"] = "error"
    betas: tuple[str, ...] = ()
    refused_tools: tuple[str, ...] = ()
    least_max_tokens: int = 0
    least_top_k: int | None = None
    request_id_headers: tuple[str, ...] = ("request-id",)
    request_id_in_body: bool = True
    organization: str | None = None
    workspace: str | None = None
    limits: Limits | None = None
    rate_limit_headers: bool = True
    priority_tier: bool = False
    complete_usage: bool = True
    encrypted_results: bool = True
    callers: bool = True
    thinking_display: Literal["summarized", "omitted"] | None = None
    threads: bool = False
    error_messages: Mapping[str, str] = field(default_factory=dict)
    unknown_model_message: str = "model: {model}"
    endpoints: Mapping[str, Any] = field(default_factory=dict)
    any_model: bool = False
    catalogue: str | None = None
    catalogues: Mapping[str, Any] = field(default_factory=dict)
    added: tuple[str, ...] = field(default=(), metadata={"unlisted": True})

    def mistakes(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """What is well-formed but cannot work, as (path to the key, text)."""
        shapes = get_args(Refusable)
        for shape in self.refused_since:
            if shape not in shapes:
                yield ("refused_since", shape), f"unknown shape '{shape}'; expected one of {', '.join(shapes)}"
        for type in self.error_messages:
            if type not in STATUS:
                yield ("error_messages", type), f"unknown error type '{type}'; expected one of {', '.join(STATUS)}"
        seen: dict[str, int] = {}
        for at, model in enumerate(self.models):
            for name in (model.id, *model.aliases):
                if seen.setdefault(name, at) != at:
                    yield ("models", at, "id"), f"two models answer to '{name}'"
        yield from self._catalogue_mistakes()
        yield from self._endpoint_mistakes()

    def _catalogue_mistakes(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        known = {model.id for model in self.models}
        for name, ids in self.catalogues.items():
            if not isinstance(ids, list):
                yield ("catalogues", name), "a catalogue is a list of model ids"
                continue
            for id in ids:
                if id not in known:
                    yield ("catalogues", name), f"no model '{id}' in this profile"
        if self.catalogue is not None and self.catalogue not in self.catalogues:
            yield ("catalogue",), f"no catalogue '{self.catalogue}'"

    def _endpoint_mistakes(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        known = get_args(Family)
        for family, served in self.endpoints.items():
            if family not in known:
                yield ("endpoints", family), f"unknown endpoints '{family}'; expected one of {', '.join(known)}"
            elif not isinstance(served, bool):
                yield ("endpoints", family), f"expected true or false, got {served!r}"

    @property
    def is_strict(self) -> bool:
        """Whether what it does not know is an error."""
        return self.unknown_parameters == "error"

    @lazy
    def owner_headers(self) -> tuple[tuple[str, str], ...]:
        """The headers that say whose key it was."""
        owner = {"organization": self.organization, "workspace": self.workspace}
        return tuple([(f"anthropic-{name}-id", id) for name, id in owner.items() if id is not None])

    @lazy
    def lenient(self) -> "Profile":
        """The same API, which lets pass what it does not know."""
        return replace(self, unknown_parameters="ignore")

    def serves(self, family: Family | None) -> bool:
        """Whether a family of endpoints is there; None: /v1/messages, which always is."""
        return family is None or bool(self.endpoints.get(family, True))

    def refuses(self, shape: Refusable, version: str | None) -> bool:
        """Whether requests of this version may not have this shape. Versions are dates: later ones sort after."""
        since = self.refused_since.get(shape)
        return since is not None and (version or self.default_version) >= since

    @lazy
    def _by_name(self) -> dict[str, Model]:
        return {name: model for model in self.models for name in (model.id, *model.aliases)}

    @lazy
    def least_max_output(self) -> int:
        """The smallest output cap of any model: up to it nobody need look which model is meant."""
        return min((model.max_output for model in self.models if model.max_output is not None), default=0)

    @lazy
    def json_names(self) -> Mapping[str, bytes]:
        """The models' ids as JSON, which every reply carries."""
        return {model.id: json.dumps(model.id).encode() for model in self.models}

    def model(self, name: str) -> Model | None:
        """The model that answers to `name`, or None."""
        found = self._by_name.get(name) or self._native(name)
        return Model(id=name) if found is None and self.any_model else found

    def _native(self, name: str) -> Model | None:
        """The model that a native Anthropic id means here."""
        native = None if self.native_prefix is None else _NATIVE.fullmatch(name)
        if native is None:
            return None
        version = native[2] if native[3] is None else f"{native[2]}.{native[3]}"
        return self._by_name.get(f"{self.native_prefix}{native[1]}-{version}")
