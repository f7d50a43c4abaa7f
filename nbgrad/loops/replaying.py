"""Turns that are run again on the way back, just before the way back through them, rather than kept."""

from __future__ import annotations

from .aliases import Aliases
from .branches import zero
from .language import Block, Loop, text


class Replaying(Aliases):
    """Has turns of loops that are marked so at hand by running them again, from what was kept where they begin."""

    def at_hand(self, block: Block) -> list[str]:
        """Write what gives a turn the values that it needs."""
        owner = block.owner
        if isinstance(owner, Loop) and owner.replayed:
            return self.again(owner)
        return super().at_hand(block)

    def again(self, loop: Loop) -> list[str]:
        """Write a turn as it was on the way forward, with what it keeps for the way back through it."""
        replay = self.program.replays[loop]
        lines: list[str] = []
        for carried in loop.carried:
            target = carried.target
            if loop.parallel:  # a sum, of which no turn knows more than what it adds
                lines.append(f"{target} = {text(zero(target.dtype).node)}")
                continue
            self.kept_inside[target.name] = loop
            copied = "" if target.ndim is None else ".copy()"
            lines.append(f"{target} = {self.tape(target.name, True)}[{self.slot(loop)}]{copied}")
        for array in replay.restored:
            self.kept_whole[array.name] = loop
            lines.append(f"{array}[...] = {self.tape(array.name, True)}[{self.slot(loop)}]")
        self.need(loop.block, *(node for s in loop.body.walk() for node in s.expressions()))
        self.forward.skipped |= replay.skipped
        lines += [*self.tapes(loop.body), *self.forward.block(loop.body)]
        self.forward.skipped -= replay.skipped
        return lines

    def spoiled(self, key: str) -> bool:
        """Tell whether turns that are run again write to an array that the function gives."""
        family = self.values[key].family
        return family is not None and any(
            array.family is not None and array.family.root() is family.root()
            for replay in self.program.replays.values()
            for array in replay.restored
        )
