"""One switch picks a model; everything else follows from it.

The public names below are imported when they are first used (PEP 562), so `import cockatoo` is quick."""
__version__ = "0.1.0"

_HOME = {
    "registry": "ModelType ModelSpec register spec specs CockatooError ConfigError DataError CheckpointError",
    "config": "Config resolve",
    "checkup": "doctor",
    "train": "train",
    "train.core": "Run",
    "train.stages": "evaluate",
    "train.compare": "compare",
    "train.search": "search",
    "export.predict": "Predictor",
    "panels": "studio",
}
_MODULE = {name: module for module, names in _HOME.items() for name in names.split()}
__all__ = ["__version__", *_MODULE]


def __getattr__(name):
    if name not in _MODULE:
        raise AttributeError(f"module 'cockatoo' has no attribute {name!r}")
    import importlib

    module = importlib.import_module(f"cockatoo.{_MODULE[name]}")
    value = module if name == _MODULE[name] else getattr(module, name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})
