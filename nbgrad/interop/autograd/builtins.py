"""Python's own names: what HIPS autograd wraps needs no wrapping here."""

from builtins import dict as dict
from builtins import isinstance as isinstance
from builtins import list as list
from builtins import tuple as tuple
from builtins import type as type
