"""The programs of examples/loops.py."""

import importlib.util
import sys
from pathlib import Path

_spec = importlib.util.spec_from_file_location("loops_example", Path(__file__).parent.parent / "examples" / "loops.py")
sys.modules["loops_example"] = _module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
globals().update({name: value for name, value in vars(_module).items() if not name.startswith("_")})
