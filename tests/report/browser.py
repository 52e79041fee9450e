"""Headless Chromium, for what only a browser can show of a page."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import Any

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--allow-file-access-from-files",
)
# In front of everything else on the page, so that nothing is missed.
WATCH = """<script>
window.violations = [];
addEventListener("securitypolicyviolation", e => violations.push(e.blockedURI));
window.problems = [];
addEventListener("error", e => problems.push(String(e.message || e.target.outerHTML)), true);
</script>"""
# Clicks each header of each table, twice, and reports the rows.
PROBE = """<script>
addEventListener("load", () => {
  const texts = table => [...table.tBodies[0].rows].map(
    row => [...row.cells].map(cell => cell.dataset.sort ?? cell.textContent.trim()));
  const tables = [...document.querySelectorAll("table.sortable")].map(table => {
    const heads = [...table.tHead.rows[0].cells];
    const start = texts(table);
    return {start, columns: heads.map(head => [0, 1].map(() => {
      head.querySelector("button").click();
      return {order: head.getAttribute("aria-sort"), rows: texts(table)};
    }))};
  });
  parent.receive({
    loaded: performance.getEntriesByType("navigation")[0].domContentLoadedEventStart,
    page: document.title, width: innerWidth, needed: document.documentElement.scrollWidth,
    resources: performance.getEntriesByType("resource").map(entry => entry.name),
    violations, problems, injected: window.injected ?? null, tables,
    headers: [...document.querySelectorAll("tbody th")].map(cell => cell.textContent),
  });
});
</script>"""
# One after the other: the next begins before the load of the previous one has ended, so that the
# browser waits for all.
FRAMES = """<pre></pre><script>
const wanted = WANTED, found = [];
const next = () => {
  if (wanted.length) document.body.append(Object.assign(document.createElement("iframe"),
    wanted.shift(), {height: 800}));
};
window.receive = look => {
  found.push(look);
  document.querySelector("pre").textContent = JSON.stringify(found);
  next();
};
next();
</script>"""


def look_at(pages: Mapping[str, str], folder: Path, widths: tuple[int, ...]) -> list[Any]:
    """What a browser reports of pages at widths in pixels, all in one start.

    Args:
        pages: File name -> page.
        folder: Where they are written.
        widths: Each page is loaded once per width.
    """
    frames = [{"src": name, "width": width} for name in pages for width in widths]
    for name, text in pages.items():
        probed = text.replace("<head>", f"<head>{WATCH}", 1).replace("</body>", f"{PROBE}</body>")
        (folder / name).write_text(probed)
    (folder / "frames.html").write_text(FRAMES.replace("WANTED", json.dumps(frames)))
    dom = run(folder, "--dump-dom", folder / "frames.html")
    [text] = re.findall(r"<pre>(.*?)</pre>", dom, re.S)
    found: list[Any] = json.loads(unescape(text))
    return found


def run(folder: Path, option: str, page: Path) -> str:
    assert BROWSER is not None
    command = [BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", option, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout
