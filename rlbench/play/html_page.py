"""A page in one file: whatever it shows is inside it, it forbids itself every connection, and it is written whole."""

import base64
import hashlib
from html import escape
from importlib import resources
from pathlib import Path

from ..errors import UsageError
from ..files import exporting


def document(title: str, style: str, main: str, *scripts: str) -> str:
    """The page itself. ``style`` is CSS; ``main``, its content, is HTML; ``scripts`` run in the end."""
    code = "".join(f"<script>{script}</script>" for script in scripts)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy(*scripts)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
<main>
{main}
</main>
{code}
</body>
</html>
"""


def policy(*scripts: str) -> str:
    """A Content-Security-Policy: inline styles, data URIs as images, these inline scripts, and nothing else."""
    hashes = [base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in scripts]
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    rest = "base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}; {rest}"


def check_name(path: str | Path, example: str) -> None:
    """Raises UsageError where a page is not to be called that; ``example`` shows how: --html out.html."""
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{path} is no name for a page: {example}")


def write_page(path: str | Path, html: str, option: str) -> int:
    """Write a page, whole or not at all; its folder is made if need be. Returns its size in bytes.

    Raises:
        RunFolderError: it cannot be written; ``option`` is what names another place.
    """
    content = html.encode()
    with exporting(Path(path), option) as temporary:
        temporary.write_bytes(content)
    return len(content)


def asset(name: str) -> str:
    """A file that comes with rlbench: CSS or JavaScript."""
    return (resources.files("rlbench") / "assets" / name).read_text(encoding="utf-8")
