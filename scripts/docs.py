"""Build the documentation: `_proc/` holds the processed notebooks, `_docs/` the site where Quarto is installed.

nbdev's own command would try to install Quarto, so its steps are called here one by one."""
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def drop_widgets(folder):
    "Saved widget state would make the pages load a script from a CDN."
    for path in folder.rglob("*.ipynb"):
        nb = json.loads(path.read_text(encoding="utf-8"))
        if nb["metadata"].pop("widgets", None):
            path.write_text(json.dumps(nb, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def needs_network(folder):
    "Scripts, styles, fonts and images that a page would fetch from elsewhere."
    fetch = re.compile(r"""<(?:script|img|iframe)\b[^>]*\bsrc=["'](https?://[^"']+)|<link\b(?=[^>]*rel=["']stylesheet)[^>]*href=["'](https?://[^"']+)"""
                       r"""|(?:@import|url\()\s*["'(]*(https?://[^"')]+)""")
    found = {(str(p.relative_to(folder)), next(filter(None, m.groups())))
             for p in folder.rglob("*") if p.suffix in {".html", ".css"}
             for m in fetch.finditer(p.read_text(encoding="utf-8", errors="replace"))}
    return sorted(found)


def main():
    from nbdev.serve import proc_nbs

    shutil.rmtree(ROOT / "_proc", ignore_errors=True)
    proc_nbs("nbs", n_workers=2)
    drop_widgets(ROOT / "_proc")
    pages = len(list((ROOT / "_proc").rglob("*.ipynb")))
    print(f"{pages} pages processed in _proc/")
    if not shutil.which("quarto"):
        print("Quarto is not installed: no site. See https://quarto.org/docs/get-started/", file=sys.stderr)
        return 0
    subprocess.run(["quarto", "render", "_proc", "--no-cache"], cwd=ROOT, check=True)
    shutil.rmtree(ROOT / "_docs", ignore_errors=True)
    shutil.move(ROOT / "_proc/_docs", ROOT / "_docs")
    outside = needs_network(ROOT / "_docs")
    for page, address in outside:
        print(f"{page} would fetch {address}", file=sys.stderr)
    built = len([p for p in (ROOT / "_docs").rglob("*.html") if "site_libs" not in p.parts])
    print(f"{built} pages built in _docs/")
    return 1 if outside or built < pages else 0


if __name__ == "__main__":
    sys.exit(main())
