"""A folder that changes as a ConfigMap's volume does: what is seen are links into a folder that is swapped as a whole."""

import itertools
import os
import shutil
from collections.abc import Mapping
from pathlib import Path


class ConfigMapVolume:
    """The steps are the kubelet's: write a new hidden folder, turn `..data` to it in one rename, then mend the links."""

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        self.folder = folder
        self._number = itertools.count(1)
        folder.mkdir(exist_ok=True)
        self.update(files)

    def update(self, files: Mapping[str, str]) -> None:
        """What is seen are these files now."""
        before = self.folder / os.readlink(self.folder / "..data") if (self.folder / "..data").is_symlink() else None
        new = self.folder / f"..2026_11_29_06_00_{next(self._number):02}.1"
        new.mkdir(mode=0o755)
        for name, text in files.items():
            (new / name).write_text(text)
        (self.folder / "..data_tmp").symlink_to(new.name)
        (self.folder / "..data_tmp").rename(self.folder / "..data")
        seen = {path.name for path in self.folder.iterdir() if not path.name.startswith(".")}
        for name in files.keys() - seen:
            (self.folder / name).symlink_to(Path("..data", name))
        for name in seen - files.keys():
            (self.folder / name).unlink()
        if before is not None:
            shutil.rmtree(before)
