"""Functions of neural networks, and modules, which are imported when they are first asked for."""

from typing import TYPE_CHECKING

from . import functional as functional

if TYPE_CHECKING:
    from . import init as init
    from . import modules as modules
    from . import parameter as parameter
    from . import utils as utils
    from .modules import *  # noqa: F403
    from .parameter import Buffer as Buffer
    from .parameter import Parameter as Parameter
    from .parameter import UninitializedBuffer as UninitializedBuffer
    from .parameter import UninitializedParameter as UninitializedParameter
else:

    def __getattr__(name):
        """Import modules when one is asked for."""
        from importlib import import_module

        if name.startswith("__"):
            raise AttributeError(name)
        if name in ("init", "modules", "parameter", "utils"):
            return import_module(f".{name}", __name__)
        rooms = [import_module(f".{room}", __name__) for room in ("parameter", "modules")]
        for room in rooms:
            if hasattr(room, name) and isinstance(getattr(room, name), type):
                found = globals()[name] = getattr(room, name)
                return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        from .modules import __dict__ as modules

        kinds = [name for name, value in modules.items() if isinstance(value, type)]
        return [
            *globals(),
            "init",
            "modules",
            "parameter",
            "utils",
            "Parameter",
            "Buffer",
            "UninitializedParameter",
            "UninitializedBuffer",
            *kinds,
        ]
