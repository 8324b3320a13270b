#!/usr/bin/env python3
"""Take the pictures of README: the pages of `ndvi-archive serve` on a demo archive, by Chromium.

.venv/bin/python scripts/screenshots.py --archive demo-archive
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).with_name("screenshots")


def main() -> None:
    """Serve the archive, open each page, and write its picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--archive", required=True)
    given = parser.parse_args()
    program = Path(sys.executable).with_name("ndvi-archive")
    command = [program, "serve", "--archive", given.archive, "--port", "0"]
    FOLDER.mkdir(exist_ok=True)
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
        sync_playwright() as playwright,
    ):
        assert server.stdout is not None  # noqa: S101 - for the type checker
        url = server.stdout.readline().rsplit(" ", 1)[1].strip()
        # As root, as in containers, its sandbox does not work.
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), chromium_sandbox=os.geteuid() != 0
        )
        page = browser.new_page(viewport={"width": 960, "height": 680})
        try:
            _viewer(page, url)
            _stac_browser(page, url)
        finally:
            browser.close()
            server.terminate()


def _viewer(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_role("link", name="View on a map").first.click()
    page.wait_for_selector("#map[aria-busy=false][data-frame]")
    page.locator("#map").click(position={"x": 420, "y": 160})
    page.locator("#value", has_text="NDVI 0.").wait_for()
    page.screenshot(path=FOLDER / "viewer.png")


def _stac_browser(page: Page, url: str) -> None:
    page.set_viewport_size({"width": 960, "height": 1000})
    page.goto(f"{url}browser/")
    page.get_by_role("link", name="Sentinel-3 NDVI of").first.click()
    page.locator(".ol-viewport canvas").first.wait_for()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=FOLDER / "browser.png")


if __name__ == "__main__":
    main()
