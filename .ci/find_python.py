"""Prints the path of a working Python of one version (`3.10`), from PATH or from pyenv; exit 1 when there is none."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


def candidates(version: str) -> Iterator[str]:
    """Where such a Python may be."""
    if found := shutil.which(f"python{version}"):
        yield found
    root = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    yield from (str(path) for path in sorted(root.glob(f"versions/{version}*/bin/python")))


def works(python: str, version: str) -> bool:
    """Whether it starts and is of that version; pyenv's shims are there for versions that are not."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    run = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return run.stdout.strip() == version


if __name__ == "__main__":
    wanted = sys.argv[1]
    python = next((one for one in candidates(wanted) if works(one, wanted)), None)
    if python is None:
        sys.exit(1)
    print(python)
