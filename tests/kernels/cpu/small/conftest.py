"""The test modules beside this file, by name: they share what they draw."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
