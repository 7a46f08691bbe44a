"""Training. The package is also the function: `cockatoo.train(config, ...)` is `cockatoo.train.stages.train`.

Both meanings share one name, and Python binds a package over anything else of that name as soon as one of its modules
is imported. So the package itself can be called."""
import sys
from types import ModuleType


class _Callable(ModuleType):
    def __call__(self, *args, **kwargs):
        from .stages import train

        return train(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
