"""What one emulated API offers. Filled from `profiles/*.yaml`; no rule of any one API is written here."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mock_server.protocol.lazy import lazy

_NATIVE = re.compile(r"(claude-[a-z]+)-(\d+)(?:-(\d{1,2}))?(?:-\d{8})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model: the id that replies carry, other names it answers to, its limits in tokens, and what it can do.

    What is None or left at its default is not judged: a model of which nobody knows the rules accepts everything.
    Facts and their sources: protocol notes B.6, B.7, G.1 and G.2.

    `thinking`: the modes it accepts. `thinking_default`: what happens without the parameter. `efforts`: the levels it
    accepts, empty when it has none. `sampling`: `free`, `one` (not temperature and top_p together) or `fixed` (only
    the defaults). `over_window`: input and max_tokens over the window are an `error`, or the reply will `stop` there.
    `token_factor`: tokens per estimated token. `tool_tokens`: the hidden prompt of tools, `forced_tool_tokens` when
    one must be called. `bound_thinking`: thinking of another model is an error.
    """

    id: str
    aliases: tuple[str, ...] = ()
    display_name: str = ""
    created: str = ""
    line: Literal["haiku", "sonnet", "opus", "fable", "mythos"] | None = None
    lifecycle: Literal["active", "deprecated", "retired"] = "active"
    retires: str | None = None
    context_window: int | None = None
    max_output: int | None = None
    thinking: tuple[Literal["adaptive", "between_tools", "disabled", "enabled"], ...] | None = None
    thinking_default: Literal["off", "on", "always"] = "off"
    thinking_display: Literal["summarized", "omitted"] = "summarized"
    efforts: tuple[Literal["low", "medium", "high", "xhigh", "max"], ...] | None = None
    effort: Literal["low", "medium", "high", "xhigh", "max"] = "high"
    prefill: bool = True
    forced_tools: bool = True
    sampling: Literal["free", "one", "fixed"] = "free"
    system_messages: bool = True
    bound_thinking: bool = False
    over_window: Literal["error", "stop"] = "stop"
    cache_minimum: int = 1024
    token_factor: float = 1.0
    tool_tokens: int = 346
    forced_tool_tokens: int = 346
    image_tokens: int = 1568
    image_side: int = 1568
    media: int = 600


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One emulated API.

    `native_prefix`: native Anthropic ids map to this prefix and dots: `claude-opus-4-8` -> `anthropic/claude-opus-4.8`.
    `complete_usage`: send every usage counter, zeros too.
    `encrypted_results`: search results carry `encrypted_content`.
    `any_model`: a name that is not listed is a model too, without limits.
    """

    name: str
    models: tuple[Model, ...]
    native_prefix: str | None = None
    versions: tuple[str, ...] = ()
    version_required: bool = False
    unknown_parameters: Literal["ignore", "error"] = "error"
    least_max_tokens: int = 0
    request_id_headers: tuple[str, ...] = ("request-id",)
    request_id_in_body: bool = True
    complete_usage: bool = True
    encrypted_results: bool = True
    error_messages: Mapping[str, str] = field(default_factory=dict)
    unknown_model_message: str = "model: {model}"
    any_model: bool = False

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
