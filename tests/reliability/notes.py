"""How much is tried, and what is told of it: `tests/reliability/run.py` sets both, a plain run of the suite tries little."""

import json
import os
from pathlib import Path
from typing import Any

EXAMPLES = int(os.environ.get("RELIABILITY_EXAMPLES", "40"))
SEED = int(os.environ.get("RELIABILITY_SEED", "17"))
_FILE = os.environ.get("RELIABILITY_NOTES")


def note(what: str, **numbers: Any) -> None:
    """Add one line to the notes of a run, if it keeps any."""
    if _FILE:
        with Path(_FILE).open("a") as file:
            file.write(json.dumps({"what": what, **numbers}) + "\n")
