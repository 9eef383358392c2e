"""`python -m mock_server`, and the command `mock-server`."""

import gc
import sys


def run() -> int:
    """Run one command; returns its exit code.

    What is imported and loaded at the start stays. The collector would look through it again and again, for an eighth
    of the time to the first reply; it is on again when the server listens, or another command begins.
    """
    gc.disable()
    from mock_server.cli import main

    return main()


if __name__ == "__main__":
    sys.exit(run())
