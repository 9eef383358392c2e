"""`mock-server schema`: the language as a JSON Schema, for editors."""

import argparse
import json

from mock_server.scenario.schema import schema
from mock_server.settings import Settings


def run(given: argparse.Namespace, settings: Settings) -> int:
    """Print the JSON Schema of scenario files: editors complete and explain by it."""
    print(json.dumps(schema(), indent=1, ensure_ascii=False))
    return 0
