"""Build the documentation: `_proc/` holds the processed notebooks, `_docs/` the site where Quarto is installed.

nbdev's own command, `nbdev_docs`, gives the same site, but would try to install Quarto where it is missing. Here its
steps are called one by one, and the result is checked: links, anchors, images, and that no page needs a network."""
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import pages  # noqa: E402


def needs_network(folder):
    "Scripts, styles, fonts and images that a page would fetch from elsewhere."
    fetch = re.compile(r"""<(?:script|img|iframe)\b[^>]*\bsrc=["'](https?://[^"']+)|<link\b(?=[^>]*rel=["']stylesheet)[^>]*href=["'](https?://[^"']+)"""
                       r"""|(?:@import|url\()\s*["'(]*(https?://[^"')]+)""")
    found = {(str(p.relative_to(folder)), next(filter(None, m.groups())))
             for p in folder.rglob("*") if p.suffix in {".html", ".css"}
             for m in fetch.finditer(p.read_text(encoding="utf-8", errors="replace"))}
    return sorted(found)


class Parts(HTMLParser):
    "The anchors and addresses of a page, and its code."

    def __init__(self, text):
        super().__init__()
        self.anchors, self.links, self.clicked, self.code, self.depth = set(), [], set(), [], 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors.update(attributes[name] for name in ("id", "name") if attributes.get(name))
        self.links += [attributes[name] for name in ("href", "src") if attributes.get(name)]
        if tag == "a" and attributes.get("href"):
            self.clicked.add(attributes["href"])
        self.depth += tag == "pre"

    def handle_endtag(self, tag):
        self.depth -= tag == "pre"

    def handle_data(self, data):
        if self.depth > 0:
            self.code.append(data)


def wrong_links(folder, host):
    """What is wrong with the links of a site, as (page, address, reason).

    Its own pages are linked relatively, and exist; so do their anchors, images and other files. No signature holds the
    Markdown of a link."""
    parts = {path.resolve(): Parts(path.read_text(encoding="utf-8"))
             for path in sorted(folder.rglob("*.html")) if "site_libs" not in path.parts}
    wrong = []
    for path, page in parts.items():
        name = str(path.relative_to(folder.resolve()))
        wrong += [(name, found, "Markdown of a link, shown as code")
                  for found in re.findall(r"\[`[^`\n]+`\]\([^)\s]*\)", "".join(page.code))]
        for link in page.links:
            scheme, server, place, _, anchor = urlsplit(link)
            if link.startswith(host) and link in page.clicked:
                wrong.append((name, link, "the public address of this site; link it relatively"))
            if scheme or server:
                continue
            target = (path.parent / unquote(place)).resolve() if place else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                wrong.append((name, link, "no such file"))
            elif anchor and target in parts and unquote(anchor) not in parts[target].anchors | {"top"}:
                wrong.append((name, link, "no such anchor"))
    return sorted(set(wrong))


def main():
    from nbdev.serve import proc_nbs

    shutil.rmtree(ROOT / "_proc", ignore_errors=True)
    proc_nbs("nbs", n_workers=2)
    processed = len(list((ROOT / "_proc").rglob("*.ipynb")))
    print(f"{processed} pages processed in _proc/")
    if not shutil.which("quarto"):
        pages.before(ROOT / "_proc")
        print("Quarto is not installed: no site. See https://quarto.org/docs/get-started/", file=sys.stderr)
        return 0
    subprocess.run(["quarto", "render", "_proc", "--no-cache"], cwd=ROOT, check=True)
    shutil.rmtree(ROOT / "_docs", ignore_errors=True)
    shutil.move(ROOT / "_proc/_docs", ROOT / "_docs")
    outside, wrong = needs_network(ROOT / "_docs"), wrong_links(ROOT / "_docs", pages.Package().host)
    for page, address in outside:
        print(f"{page} would fetch {address}", file=sys.stderr)
    for page, address, reason in wrong:
        print(f"{page} links to {address}: {reason}", file=sys.stderr)
    built = len([p for p in (ROOT / "_docs").rglob("*.html") if "site_libs" not in p.parts])
    print(f"{built} pages built in _docs/")
    return 1 if outside or wrong or built < processed else 0


if __name__ == "__main__":
    sys.exit(main())
