"""Builds the web pages into the wheel where there is npm; `ndvi-archive serve` works without them."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WebHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs `scripts/build-web`, unless the pages are there or `NDVI_ARCHIVE_BUILD_WEB` is `no`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build what is missing; an editable installation takes the pages from the source anyway.

        Args:
            version: `standard` or `editable`.
            build_data: what the build is told; nothing is added.
        """
        static = Path(self.root) / "etl/serve/static"
        missing = [page for page in ("viewer", "browser") if not (static / page / "index.html").is_file()]
        wanted = os.environ.get("NDVI_ARCHIVE_BUILD_WEB", "yes") != "no"
        if version == "editable" or not missing or not wanted:
            return
        builder = Path(self.root) / "scripts/build-web"
        if shutil.which("npm") is None or not builder.is_file():
            self.app.display_warning("There is no npm: the viewer and the STAC Browser are left out.")
            return
        done = subprocess.run([builder, *missing], check=False)
        if done.returncode:
            self.app.display_warning("The viewer and the STAC Browser could not be built; they are left out.")
