"""One switch picks a model; everything else follows from it.

The public names below are imported when they are first used (PEP 562), so `import cockatoo` is quick."""
__version__ = "0.1.0"

from .core.registry import load_families_with as _load_families_with

_HOME = {
    "core.errors": "CockatooError ConfigError DataError CheckpointError",
    "core.registry": "ModelType ModelSpec Family register register_family register_loss spec specs",
    "core.config": "Config resolve",
    "core.checkup": "doctor",
    "training.run": "Run",
    "training.train": "train evaluate",
    "training.compare": "compare",
    "training.search": "search",
    "export.predict": "Predictor",
    "panels.studio": "studio",
}
_MODULE = {name: module for module, names in _HOME.items() for name in names.split()}
__all__ = ["__version__", *_MODULE]


def _register_families():
    from .families import register_families

    register_families()


_load_families_with(_register_families)  # the registry, below all families, asks for them when it is first used


def __getattr__(name):
    if name not in _MODULE:
        raise AttributeError(f"module 'cockatoo' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"cockatoo.{_MODULE[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})
