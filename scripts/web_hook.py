"""Builds the web pages into the wheel where there is npm; `ndvi-archive serve` works without them."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WebHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs `scripts/build-web`, unless `NDVI_ARCHIVE_BUILD_WEB` is `no`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build what is missing or stale; an editable installation takes the pages from the source anyway.

        Args:
            version: `standard` or `editable`.
            build_data: what the build is told; nothing is added.
        """
        if version == "editable" or os.environ.get("NDVI_ARCHIVE_BUILD_WEB", "yes") == "no":
            return
        builder = Path(self.root) / "scripts/build-web"
        if not builder.is_file():
            why = "There is no scripts/build-web"
        # It has nothing to do, and needs no npm, where all is built from these sources.
        elif subprocess.run([builder], check=False).returncode == 0:
            return
        elif shutil.which("npm") is None:
            why = "There is no npm"
        else:
            why = "scripts/build-web has failed"
        static = Path(self.root) / "etl/serve/static"
        for page in ("viewer", "browser"):
            is_there = (static / page / "index.html").is_file()
            kept = (
                "is taken in as it was built before, perhaps of other sources" if is_there else "is left out"
            )
            self.app.display_warning(f"{why}: the {page} of `ndvi-archive serve` {kept}.")
