"""What nbdev and Quarto leave wrong in a page, put right: the two hooks that `_quarto.yml` names.

    python scripts/pages.py before [_proc]          before Quarto renders the processed notebooks
    python scripts/pages.py after [_proc/_docs]     when it has

Quarto runs them itself, so `nbdev_docs` and `nbdev_preview` give the same site as `make docs`. Quarto takes the
Python that it finds, which may not be ours: only the standard library is used here. Both can be run again.

**Before.** nbdev links every name in backticks to the first thing of that name in any module, at the public
address, even inside the signatures. Here a name is linked relatively and only where it is clear what is meant
(`Names.target`), and `[source]` leads to the module that the page documents. Saved widgets go: they would need a
script from a CDN.

**After.** Quarto adds require.js and jQuery from a CDN to every page with an HTML output. Ours need neither."""
import ast
import configparser
import json
import os
import re
import sys
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WIDGETS = "application/vnd.jupyter.widget-view+json"


# ---------------------------------------------------------------------- notebooks

def text_of(lines):
    return lines if isinstance(lines, str) else "".join(lines)


def code_trees(notebook):
    "The syntax tree of every code cell that is Python."
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            source = re.sub(r"^\s*[%!].*$", "", text_of(cell["source"]), flags=re.M)
            try:
                yield ast.parse(source)
            except SyntaxError:
                pass  # a cell of another language


def bound_names(tree):
    "Names that code binds, in whatever way but an import."
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def imported_names(tree):
    "Triples of the name that an import binds, its module, and the name there (None for a module)."
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, node.module, alias.name
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0], alias.name, None


# ---------------------------------------------------------------------- the package

class Package:
    "Where each public name of the package is defined, and on which page it is documented."

    def __init__(self, root=ROOT):
        self.root = root
        settings = configparser.ConfigParser(delimiters=["="])
        settings.read(root / "settings.ini", encoding="utf-8")
        settings = settings["DEFAULT"]
        self.name = settings["lib_name"]
        self.host = settings["doc_host"] + settings["doc_baseurl"] + "/"
        self.code = f"{settings['git_url']}/blob/{settings['branch']}/"
        index = (root / self.name / "_modidx.py").read_text(encoding="utf-8")
        index = ast.literal_eval(index.partition("d =")[2].strip())["syms"]
        self.modules = {module: {symbol.removeprefix(module + "."): page.partition("#")[0]
                                 for symbol, (page, _) in symbols.items()}
                        for module, symbols in index.items()}

    @cache
    def tree(self, module):
        "The syntax tree of a module, or None if the package has no such module."
        path = self.root.joinpath(*module.split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.exists():
                return ast.parse(file.read_text(encoding="utf-8"))

    @cached_property
    def public(self):
        "The names of the package itself: `train` is `cockatoo.training.train`'s."
        for node in self.tree(self.name).body:
            if isinstance(node, ast.Assign) and node.targets[0].id == "_HOME":
                homes = ast.literal_eval(node.value)
                return {name: f"{self.name}.{home}" for home, names in homes.items() for name in names.split()}
        return {}

    def home(self, module, name):
        "The module that defines what `from module import name` gives, or None."
        if name in self.modules.get(module, ()):
            return module
        if module == self.name:
            return self.public.get(name) and self.home(self.public[name], name)
        for found, source, original in imported_names(self.tree(module) or ast.Module([], [])):
            if (found, original) == (name, name) and source.startswith(self.name):
                return self.home(source, name)

    @cached_property
    def unique(self):
        "Public classes and functions whose name only one module has: {name: module}."
        homes = {}
        for module, symbols in self.modules.items():
            for name in symbols:
                if "." not in name and name[0] != "_":
                    homes.setdefault(name, []).append(module)
        return {name: found[0] for name, found in homes.items() if len(found) == 1}

    @cached_property
    def other_uses(self):
        "Words that also stand for something else: a parameter, a field, a method, a split, a log event."
        words = set()
        for module in self.modules:
            statements = [node for node in self.tree(module).body
                          if not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")]
            for node in (part for statement in statements for part in ast.walk(statement)):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    words.add(node.value)
                elif isinstance(node, ast.arg):
                    words.add(node.arg)
                elif isinstance(node, ast.Attribute):
                    words.add(node.attr)
                elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    words.add(node.target.id)
        return words

    @cache
    def lines(self, module):
        "The line on which each class, function and method of a module begins."
        found = {}
        for node in self.tree(module).body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                patched = any(ast.unparse(d).startswith("patch") for d in node.decorator_list)
                owners = ast.unparse(node.args.args[0].annotation).split(" | ") if patched else [None]
                found |= {f"{owner}.{node.name}" if owner else node.name: node.lineno for owner in owners}
            elif isinstance(node, ast.ClassDef):
                found[node.name] = node.lineno
                found |= {f"{node.name}.{part.name}": part.lineno for part in node.body
                          if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef))}
        return found


class Names:
    "What the names in one notebook mean."

    def __init__(self, package, notebook):
        self.package, self.imported, bound = package, {}, set()
        source = "\n".join(text_of(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
        exported = re.search(r"^#\|\s*default_exp\s+(\S+)", source, re.M)
        self.module = exported and f"{package.name}.{exported[1]}"
        self.own = {name for name in package.modules.get(self.module, ()) if "." not in name}
        foreign = set()
        for tree in code_trees(notebook):
            bound.update(bound_names(tree))
            for name, module, original in imported_names(tree):
                if original and module.partition(".")[0] == package.name:
                    self.imported[name] = module, original
                else:
                    foreign.add(name)
        self.foreign = (foreign | bound) - self.own - set(self.imported)

    def find(self, name):
        "Module and name of what `name` means in this notebook, or None."
        if name in self.own:
            return self.module, name
        if name in self.imported:
            module, original = self.imported[name]
            home = self.package.home(module, original)
            return home and (home, original)
        if name not in self.foreign and name in self.package.unique:
            return self.package.unique[name], name

    def target(self, name, called=False):
        """Module and symbol that a name in backticks means, or None where that is not clear.

        A class is clear by its name, a function where it is called, `load()`, or where its name stands for nothing
        else in the package: `train` is also a split, a command and an event of the log."""
        parts = name.split(".")
        if parts[0] == self.package.name:
            for cut in range(len(parts) - 1, 0, -1):
                module, symbol = ".".join(parts[:cut]), ".".join(parts[cut:])
                home = self.package.home(module, parts[cut])
                if home and symbol in self.package.modules[home]:
                    return home, symbol
            return None
        found = self.find(parts[0])
        if not found or len(parts) > 2 or parts[0].startswith("_"):
            return None
        module, first = found
        if len(parts) == 2:
            symbol = f"{first}.{parts[1]}"
            return (module, symbol) if symbol in self.package.modules[module] else None
        if called or first[0].isupper() or first not in self.package.other_uses:
            return module, first


# ---------------------------------------------------------------------- pages

def heading_anchor(title):
    "The identifier that Pandoc gives a heading."
    title = re.sub(r"\s*\{[^}]*\}\s*$", "", title)
    title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
    title = re.sub(r"[^\w\s.-]", "", title.replace("*", "")).strip().lower()
    return re.sub(r"^[^a-z]+", "", re.sub(r"\s+", "-", title)) or "section"


FENCED = re.compile(r"^(```+|~~~+)[^\n]*\n.*?(?:^\1[^\n]*$|\Z)", re.M | re.S)


def anchors_of(texts):
    "The anchors of a page, from the Markdown of its cells and outputs."
    seen = {}
    for text in texts:
        for title in re.findall(r"^#{1,6}[ \t]+(.+?)[ \t]*#*$", FENCED.sub("", text), re.M):
            anchor = heading_anchor(title)
            seen[anchor] = seen.get(anchor, -1) + 1
    return {name if not number else f"{name}-{number}" for name, count in seen.items() for number in range(count + 1)}


class Page:
    "A processed notebook: its Markdown can be read and replaced."

    def __init__(self, path, folder):
        self.path, self.source = path, path.read_text(encoding="utf-8")
        self.notebook = json.loads(self.source)
        first = text_of(self.notebook["cells"][0]["source"]) if self.notebook["cells"] else ""
        named = re.search(r"^output-file:\s*(\S+)$", first, re.M)
        here = path.relative_to(folder)
        self.name, self.html = here, here.with_name(named[1] if named else path.stem + ".html").as_posix()

    def markdown(self):
        "Every holder of Markdown, as (cell, dictionary, key)."
        for cell in self.notebook["cells"]:
            if cell["cell_type"] == "markdown":
                yield cell, cell, "source"
            for output in cell.get("outputs", []):
                if "text/markdown" in output.get("data", {}):
                    yield cell, output["data"], "text/markdown"

    def name_headings(self):
        "`show_doc(Class.method)` may give a decorated method the heading `method`; here it is its whole name."
        for cell, holder, key in self.markdown():
            shown = re.search(r"^show_doc\((\w+)\.(\w+)", text_of(cell["source"]), re.M)
            if shown and holder is not cell:
                text = re.sub(rf"^(#+) {shown[2]}$", rf"\1 {shown[1]}.{shown[2]}", text_of(holder[key]), count=1, flags=re.M)
                holder[key] = text.splitlines(True)

    def texts(self):
        return [text_of(holder[key]) for _, holder, key in self.markdown()]

    def drop_widgets(self):
        self.notebook["metadata"].pop("widgets", None)
        for cell in self.notebook["cells"]:
            for output in cell.get("outputs", []):
                output.get("data", {}).pop(WIDGETS, None)

    def save(self):
        "Write the file if something changed: a preview renders again whatever is newer."
        text = json.dumps(self.notebook, indent=1, ensure_ascii=False) + "\n"
        if json.loads(text) != json.loads(self.source):
            self.path.write_text(text, encoding="utf-8")


def unlink(text, host):
    "Take back the links that nbdev made: only it writes the public address around a name in backticks."
    return re.sub(r"\[(`[^`\n]+`)\]\(" + re.escape(host) + r"[^)\s]*\)", r"\1", text)


PROSE = re.compile(r"""
    ^(?P<fence>```+|~~~+)[^\n]*\n.*?(?:^(?P=fence)[^\n]*$|\Z)   # a block of code, as every further line here: left alone
  | ^[ ]{4}[^\n]*$ | ^\#{1,6}[ ][^\n]*$
  | !?\[(?:[^\[\]]|\[[^\[\]]*\])*\]\([^()]*\)
  | ``+.+?``+
  | `(?P<name>[A-Za-z_][\w.]*)(?P<call>\(\))?`                  # a name, perhaps to be linked""", re.M | re.S | re.X)


def link(text, address):
    "Link the names in backticks for which `address(name, called)` knows one."
    def linked(match):
        found = match["name"] and address(match["name"], bool(match["call"]))
        return f"[{match[0]}]({found})" if found else match[0]
    return PROSE.sub(linked, text)


class Site:
    "The processed notebooks of a folder."

    def __init__(self, folder, root=ROOT):
        self.package = Package(root)
        notebooks = sorted(p for p in folder.rglob("*.ipynb") if p.relative_to(folder).parts[0] != "_docs")
        self.pages = {page.html: page for page in (Page(path, folder) for path in notebooks)}
        for page in self.pages.values():
            page.name_headings()
        self.anchors = {html: anchors_of(page.texts()) for html, page in self.pages.items()}
        self.sources = root / "nbs"

    def names(self, page):
        return Names(self.package, json.loads((self.sources / page.name).read_text(encoding="utf-8")))

    def address(self, page, module, symbol):
        "The address of a symbol as seen from a page: its heading, that of its class, or None if it has neither."
        html = self.package.modules[module][symbol]
        for name in (symbol, symbol.partition(".")[0]):
            if name.lower() in self.anchors.get(html, ()):
                place = "" if html == page.html else os.path.relpath(html, Path(page.html).parent).replace(os.sep, "/")
                return f"{place}#{name.lower()}"

    def source_link(self, names, cell, text):
        "The text with the line `[source]` that is right for the name that `show_doc(name)` shows, or without one."
        shown = re.search(r"^show_doc\(([\w.]+)", text_of(cell["source"]), re.M)
        if not shown:
            return text
        first, dot, rest = shown[1].partition(".")
        module, name = names.find(first) or (None, None)
        line = module and self.package.lines(module).get(name + dot + rest)
        text = re.sub(r"^\[source\]\([^)]*\)(\{[^}]*\})?\n+(?=#)", "", text, count=1, flags=re.M)
        if not line:
            return text
        address = f"{self.package.code}{module.replace('.', '/')}.py#L{line}"
        source = f'[source]({address}){{target="_blank" style="float:right; font-size:smaller"}}'
        return re.sub(r"^(?=#+ )", source + "\n\n", text, count=1, flags=re.M)

    def mend(self):
        for page in self.pages.values():
            names = self.names(page)

            def address(name, called):
                found = names.target(name, called)
                return found and self.address(page, *found)

            for cell, holder, key in page.markdown():
                text = self.source_link(names, cell, unlink(text_of(holder[key]), self.package.host))
                text = link(text, address)
                holder[key] = text.splitlines(True) if isinstance(holder[key], list) else text
            page.drop_widgets()
            page.save()


def before(folder):
    Site(folder).mend()


FROM_CDN = re.compile(
    r"""<script\b[^>]*\bsrc=["']https://(?:cdnjs\.cloudflare\.com/ajax/libs/(?:require\.js|jquery)|unpkg\.com/@jupyter-widgets)/"""
    r"""[^>]*>\s*</script>\s*|<script\b[^>]*>\s*define\(\s*["']jquery["'][^<]*</script>\s*""")


def after(folder):
    for path in folder.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        if (clean := FROM_CDN.sub("", text)) != text:
            path.write_text(clean, encoding="utf-8")


def main(argv):
    if len(argv) not in (1, 2) or argv[0] not in ("before", "after"):
        sys.exit(__doc__)
    if argv[0] == "before":
        before(Path(argv[1] if len(argv) > 1 else "."))
    else:
        after(Path(argv[1] if len(argv) > 1 else os.environ.get("QUARTO_PROJECT_OUTPUT_DIR", "_docs")))


if __name__ == "__main__":
    main(sys.argv[1:])
