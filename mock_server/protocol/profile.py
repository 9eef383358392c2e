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
    """One model: the id that replies carry, other names it answers to, and its limits in tokens."""

    id: str
    aliases: tuple[str, ...] = ()
    context_window: int | None = None
    max_output: int | None = None


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
