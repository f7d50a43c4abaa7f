"""What stands around training: data, segments that are computed twice, and a look at a model."""

from . import checkpoint as checkpoint
from . import data as data
from .summary import summary as summary
