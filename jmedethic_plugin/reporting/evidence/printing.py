"""The summary as PDF, through a browser that is already there."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")


def find_browser() -> str | None:
    """A Chromium on the path, if any."""
    return next((found for name in _NAMES if (found := shutil.which(name)) is not None), None)


def print_pdf(page: Path, pdf: Path, browser: str, *, timeout_s: float = 60.0) -> str | None:
    """Print a page; says why when there is no PDF afterwards."""
    # The sandbox needs what root has not; the page holds no script, and its policy allows none.
    as_root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as profile:
        command = [
            browser, "--headless", *as_root, "--disable-gpu", "--disable-extensions", "--no-first-run", f"--user-data-dir={profile}", "--no-pdf-header-footer",
            f"--print-to-pdf={pdf.resolve()}", page.resolve().as_uri(),
        ]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, timeout=timeout_s, check=False)
        except (OSError, subprocess.TimeoutExpired) as exc:
            return f"{browser}: {type(exc).__name__}"
    return None if pdf.is_file() else f"{browser} ended with {done.returncode} and wrote no PDF"
