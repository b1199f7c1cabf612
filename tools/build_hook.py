"""Compiles pairmill's C when it is installed, where there is a compiler; a wheel without it is as
good, and slower.
"""

import runpy
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class LibraryHook(BuildHookInterface):
    """Of hatchling, before it makes a wheel or an editable installation."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles, and names the platform for which the wheel is then."""
        root = Path(self.root)
        outcomes = runpy.run_path(str(root / "tools/compile_library.py"))["compile_all"](root)
        made = [outcome for outcome in outcomes if isinstance(outcome, Path)]
        for outcome in outcomes:
            if isinstance(outcome, str):
                self.app.display_warning(f"slower without what is in C: {outcome}")
        build_data["artifacts"] += [str(file.relative_to(root)) for file in made]
        if made and version != "editable":
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{platform}"
