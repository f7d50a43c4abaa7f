"""Why a compiler is ahead of nbgrad in a program, as far as it is known: the document puts these beside the ratios."""

from __future__ import annotations

#: By the program's name and size.
EXPLANATIONS: dict[tuple[str, str], str] = {}
