"""What every Python below `aios run` starts with: it puts the kernel under the program, then is not there any more.

Also interpreters that we do not support find this file: it uses nothing that an old one could not read.
"""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib would be one more import


def _leave():  # noqa: ANN202 - Python 2 knows no annotations
    # The path as it would be without us; PYTHONPATH stays, for the program's children.
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != _HERE]  # noqa: PTH100


def _chain():  # noqa: ANN202
    # The sitecustomize that Python would have found without us, once, under its own name.
    ours = sys.modules.pop("sitecustomize")
    try:
        __import__("sitecustomize")
    except ImportError as error:
        if getattr(error, "name", "sitecustomize") != "sitecustomize":
            raise
    finally:
        # The import that is running us expects to find a module of this name.
        sys.modules.setdefault("sitecustomize", ours)


def _begin():  # noqa: ANN202
    if not os.environ.get("AIOS_LAUNCH"):
        return
    # For the launcher, which asks: here we are.
    sys._aios_launched = False  # pyright: ignore[reportAttributeAccessIssue]
    if sys.version_info < (3, 10):  # noqa: UP036
        return
    try:
        from aios_adapters.launch.start import begin
    except ImportError:
        # A child in an environment of its own, without us: it runs as ever. The launcher has looked at the first one.
        if os.environ.get("AIOS_STRICT") == "1":
            sys.stderr.write("aios run: %s cannot import aios_adapters, so its calls are native\n" % sys.executable)  # noqa: UP031
        return
    begin()


_leave()
try:
    _chain()
finally:
    _begin()
