"""What PyTorch has in `torch.signal`."""

from . import windows as windows
