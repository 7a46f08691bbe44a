"""A stand-in for Quarto: what `nbdev_docs` and `make docs` ask of it, on any machine, in seconds.

It keeps to what Quarto 1.7 does with a website of notebooks: the hooks of `_quarto.yml` run in the folder of the
project, a page has the name that its front matter gives (`output-file`), a link to a notebook becomes one to its page,
headings have Pandoc's anchors, and a page with an HTML output gets require.js and jQuery from a CDN. How a page looks
is not its business."""
import html
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import mistune
import nbformat
import yaml

SCRIPTS = """\
<script src="https://cdnjs.cloudflare.com/ajax/libs/require.js/2.3.6/require.min.js" integrity="sha512-c3Nl8+7g4LMSTdrm621y7kf9v3SDPnhxLNhcjFJbKECVnmZHTdo+IRO05sNLTH/D3vA6u1X32ehoLC7WFVdheg==" crossorigin="anonymous"></script>
<script src="https://cdnjs.cloudflare.com/ajax/libs/jquery/3.5.1/jquery.min.js" integrity="sha512-bLT0Qm9VnAYZDflyKcBaQ2gg0hSYNQrJ8RilYldYQ1FxQYoCLtUjuuRuZo+fjqhx/qtq/1itJ0C2ejDxltZVFg==" crossorigin="anonymous" data-relocate-top="true"></script>
<script type="application/javascript">define('jquery', [],function() {return window.jQuery;})</script>
"""
EMBED = '<script src="https://unpkg.com/@jupyter-widgets/html-manager@*/dist/embed-amd.js" crossorigin="anonymous"></script>\n'


class Headings(mistune.HTMLRenderer):
    "Headings with the anchors that Pandoc's `auto_identifiers` gives."

    def __init__(self):
        super().__init__(escape=False)
        self.seen = {}

    def heading(self, text, level, **attributes):
        plain = html.unescape(re.sub(r"<[^>]+>", "", text))
        anchor = re.sub(r"\s+", "-", "".join(c for c in plain if c.isalnum() or c in "_-." or c.isspace()).strip()).lower()
        anchor = anchor.lstrip("".join({c for c in anchor if not c.isalpha()})) or "section"
        self.seen[anchor] = number = self.seen.get(anchor, -1) + 1
        return f'<h{level} id="{anchor}{f"-{number}" if number else ""}">{text}</h{level}>\n'


def output_name(path):
    "The page of a notebook, relative to its folder."
    first = nbformat.read(path, 4).cells[0].source
    named = re.search(r"^output-file: *(\S+)$", first, re.M)
    return named[1] if named else path.stem + ".html"


def render(path):
    "The HTML of one processed notebook."
    renderer = Headings()
    markdown = mistune.create_markdown(renderer=renderer, plugins=["table", "math", "strikethrough"])

    def page_of(match):
        target = path.parent / match[1]
        return f"]({Path(match[1]).with_name(output_name(target)).as_posix()}{match[2]})" if target.exists() else match[0]

    def text(source):
        source = re.sub(r"(\]\([^)\s]*\))\{[^}]*\}", r"\1", source)  # Pandoc's attributes of a link
        return markdown(re.sub(r"\]\((?!https?:)([^)#\s]+\.ipynb)(#[^)\s]*)?\)", lambda m: page_of((m[0], m[1], m[2] or "")), source))

    body, head = [], ""
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            body.append(text(cell.source))
        if cell.cell_type != "code":
            continue
        options = dict(re.findall(r"^#\| *([\w-]+): *(.+)$", cell.source, re.M))
        if options.get("echo") != "false":
            body.append(f"<pre><code>{html.escape(cell.source)}</code></pre>")
        for output in cell.outputs:
            data = output.get("data", {"text/plain": output.get("text", "")})
            if "text/html" in data and output.output_type in ("display_data", "execute_result"):
                head = head or SCRIPTS
            if "application/vnd.jupyter.widget-view+json" in data:
                head = SCRIPTS + EMBED
            if "text/markdown" in data:
                body.append(text(data["text/markdown"]))
            elif "text/html" in data or "image/svg+xml" in data:
                body.append(data.get("text/html") or data["image/svg+xml"])
            elif "image/png" not in data:
                body.append(f"<pre>{html.escape(data.get('text/plain', ''))}</pre>")
    return f"<!DOCTYPE html>\n<html>\n<head>\n{head}</head>\n<body>\n{''.join(body)}</body>\n</html>\n"


def run_hooks(project, config, key, **more):
    for hook in [config["project"].get(key)] if isinstance(config["project"].get(key), str) else config["project"].get(key, []):
        words = shlex.split(hook)
        subprocess.run([*([sys.executable, "-I", "-S"] if words[0].endswith(".py") else []), *words], cwd=project, check=True,
                       env={**os.environ, **more})


def main(words):
    assert words[0] == "render", words
    places = [word for word in words[1:] if word[0] != "-"]
    to = words[words.index("-o") + 1] if "-o" in words else None
    project = Path(places[0] if places else ".").resolve()
    single, project = (project, project.parent) if project.suffix else (None, project)
    config = yaml.safe_load((project / "_quarto.yml").read_text())
    out = project / config["project"]["output-dir"]
    run_hooks(project, config, "pre-render", QUARTO_PROJECT_OUTPUT_DIR=str(out))
    if single:  # the README of nbdev: another rendering than ours
        out.mkdir(exist_ok=True)
        (out / to).write_text(render(single))
        return
    shutil.rmtree(out, ignore_errors=True)
    for path in sorted(project.rglob("*")):
        place = out / path.relative_to(project)
        if path.is_dir() or out in path.parents or path.name[0] in "_.":
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".ipynb":
            place.with_name(output_name(path)).write_text(render(path))
        elif path.suffix != ".yml":
            shutil.copy(path, place)
    run_hooks(project, config, "post-render", QUARTO_PROJECT_OUTPUT_DIR=str(out))


if __name__ == "__main__":
    main(sys.argv[1:])
