"""What stands around training: data, and a look at a model."""

from . import data as data
from .summary import summary as summary
