"""udamon: which memory of a live Linux system is hot, warm or cold (DAMON in user space).

The names in `__all__`, and the exceptions in `udamon.errors`, are the public interface; all else may change. They are
imported when they are first used, so that `import udamon` costs next to nothing.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from udamon.api.doctor import doctor
    from udamon.api.evaluate import evaluate
    from udamon.api.monitor import Monitor
    from udamon.api.recording import Recording
    from udamon.api.scheme import Scheme
    from udamon.assembly.spec import MonitorSpec
    from udamon.errors import UdamonError
    from udamon.model import Snapshot

__version__ = "0.1.0"

__all__ = [
    "Monitor",
    "MonitorSpec",
    "Recording",
    "Scheme",
    "Snapshot",
    "UdamonError",
    "doctor",
    "evaluate",
]

_MODULES = {
    "Monitor": "udamon.api.monitor",
    "MonitorSpec": "udamon.assembly.spec",
    "Recording": "udamon.api.recording",
    "Scheme": "udamon.api.scheme",
    "Snapshot": "udamon.model",
    "UdamonError": "udamon.errors",
    "doctor": "udamon.api.doctor",
    "evaluate": "udamon.api.evaluate",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'udamon' has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module(_MODULES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
