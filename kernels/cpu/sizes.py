"""Sizes that the writers of loops and what they call agree on."""

#: Accumulators of a reduction: enough for LLVM to fill its vectors and hide the latency of additions.
LANES = 64
#: Values that a fused loop computes before it folds them: enough for what begins and ends a vector loop not to show.
CHUNK = 512
#: Arrays that one fused loop can read and write, with the counter of blocks and the sizes.
MOST_OPERANDS = 2048
#: The outputs of a fused loop that LLVM is told apart (`frontend.memory._access`); any more share the last number.
OUTPUTS = 64
#: Lines, and elements of each, in a square that goes from lines to lanes (`frontend.memory`).
SIDE = 8
