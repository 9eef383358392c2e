"""stub"""

from random import Random
from typing import Any


def styled(style: str, fake: Any, rng: Random, tokens: int) -> str:
    return "stub"
