"""Random programs of loops, branches, writes, temporaries and slices, as text."""

from hypothesis import strategies as st


class Writer:
    """Writes a program; every choice is drawn from hypothesis."""

    def __init__(self, draw):
        self.draw = draw
        self.numbers = ["a", "b"]
        self.arrays = ["x", "u", "v"]
        self.counters = []
        self.fresh = 0
        self.size = 0

    def pick(self, items):
        return self.draw(st.sampled_from(items))

    def name(self, kind):
        self.fresh += 1
        return f"{kind}{self.fresh}"

    def index(self):
        if not self.counters:
            return str(self.draw(st.integers(0, 3)))
        counter = self.pick(self.counters)
        return self.pick([counter, counter, f"{counter} - 1", f"3 - {counter}", str(self.draw(st.integers(0, 3)))])

    def number(self, depth=0):
        choice = self.draw(st.integers(0, 7 if depth < 2 else 3))
        if choice <= 1:
            return self.pick(self.numbers)
        if choice == 2:
            return f"{self.pick(self.arrays)}[{self.index()}]"
        if choice == 3:
            return self.pick(["0.5", "2", "1.5", *self.counters])
        one = self.number(depth + 1)
        if choice == 4:
            return self.pick([f"math.sin({one})", f"math.tanh({one})", f"abs({one})", f"math.exp(-abs({one}))"])
        other = self.number(depth + 1)
        if choice == 5:
            return self.pick([f"max({one}, {other})", f"({one} / (2.0 + abs({other})))", f"helper({one}, {other})"])
        return f"({one} {self.pick(['+', '-', '*'])} {other})"

    def test(self):
        one = f"{self.number(1)} {self.pick(['<', '>'])} {self.number(1)}"
        return self.pick([one, f"{one} and {self.number(2)} > 0.1", f"not {one}", f"{one} or {self.number(2)} > 0.3"])

    def block(self, depth, in_loop=False):
        saved = list(self.numbers), list(self.arrays)
        lines = []
        for _ in range(self.draw(st.integers(1, 3))):
            lines += self.statement(depth, in_loop)
        self.numbers, self.arrays = saved
        return [f"    {line}" for line in lines]

    def masked(self):
        """Write to, or read, the elements that a mask picks."""
        mask = f"{self.pick(self.arrays)} {self.pick(['<', '>'])} {self.number(1)}"
        written = self.pick(["u", "v"])
        return self.pick([
            f"{written}[{mask}] = {self.number(1)}",
            f"{written}[{mask}] {self.pick(['+=', '*='])} {self.number(1)}",
            f"{self.pick(self.numbers)} = {self.pick(self.arrays)}[{mask}].sum()",
        ])  # fmt: skip

    def shared(self):
        """Write a loop over prange, each turn of which writes to its own element, and adds to a sum."""
        saved = list(self.numbers), list(self.arrays), list(self.counters)
        counter, value, inner = self.name("i"), self.name("s"), self.name("k")
        written = self.pick(["u", "v"])
        total = self.pick(["a", "b"])
        self.numbers = [n for n in self.numbers if n != total]
        self.arrays = [a for a in ("x", "u", "v") if a != written]
        self.counters = [counter]
        first = f"{value} = {self.number()}"
        self.numbers.append(value)
        loop = [f"    for {inner} in range({self.pick(['3', 'n'])}):", f"        {value} = 0.5 * {self.number()}"]
        lines = [f"for {counter} in prange({self.pick(['4', 'n'])}):", f"    {first}"]
        lines += loop if self.draw(st.booleans()) else []
        lines.append(f"    {written}[{counter}] {self.pick(['=', '+=', '*='])} {self.number()}")
        if self.draw(st.booleans()):
            lines.append(f"    {total} += {self.number(1)}")
        self.numbers, self.arrays, self.counters = saved
        return lines

    def statement(self, depth, in_loop):
        self.size += 1
        choice = self.draw(st.integers(-2, 12 if depth < 3 and self.size < 14 else 6))
        if choice == -2:
            return [self.masked()]
        if choice == -1:
            return self.shared()
        if choice == 0:
            name = self.pick([*self.numbers, ""]) or self.name("t")
            line = f"{name} = {self.number()}"
            if name not in self.numbers:
                self.numbers.append(name)
            return [line]
        if choice == 1:
            return [f"{self.pick(self.numbers)} {self.pick(['+=', '-=', '*='])} {self.number(1)}"]
        if choice == 2:
            return [f"{self.pick(['u', 'v'])}[{self.index()}] = {self.number()}"]
        if choice == 3:
            return [f"{self.pick(['u', 'v'])}[{self.index()}] {self.pick(['+=', '-=', '*='])} {self.number()}"]
        if choice == 4:
            return [
                self.pick([
                    f"{self.pick(['u', 'v'])}[1:] = {self.pick(self.arrays)}[:-1] * {self.number(1)}",
                    f"{self.pick(['u', 'v'])}[:] = {self.pick(self.arrays)} + {self.number(1)}",
                    f"{self.pick(['u', 'v'])} {self.pick(['+=', '*='])} {self.pick(self.arrays)}",
                    f"{self.pick(self.numbers)} = ({self.pick(self.arrays)} * {self.pick(self.arrays)}).sum()",
                    f"{self.pick(self.numbers)} = {self.pick(self.arrays)}[::-1][:3].max()",
                ])
            ]  # fmt: skip
        if choice == 5:
            name = self.name("w")
            line = f"{name} = {self.pick(self.arrays)} * {self.number(1)} + {self.pick(self.arrays)}"
            self.arrays.append(name)
            return [line]
        if choice == 6:
            return [f"a, b = {self.number(1)}, {self.number(1)}"]
        if choice <= 9:
            counter = self.name("i")
            head = self.pick([f"for {counter} in range(4):", f"for {counter} in range(3, -1, -1):",
                              f"for {counter} in range(1, 4, 2):", f"for {counter} in range(n):"])  # fmt: skip
            self.counters.append(counter)
            lines = [head, *self.block(depth + 1, True)]
            self.counters.pop()
            return lines
        if choice <= 11:
            lines = [f"if {self.test()}:", *self.block(depth + 1, in_loop)]
            if in_loop and self.draw(st.booleans()):
                lines.append(f"    {self.pick(['break', 'continue'])}")
            if self.draw(st.booleans()):
                lines += ["else:", *self.block(depth + 1, in_loop)]
            return lines
        count = self.name("k")
        return [f"{count} = 0", f"while {count} < 3 and abs({self.pick(self.numbers)}) < 5.0:", f"    {count} += 1",
                *self.block(depth + 1, True)]  # fmt: skip


@st.composite
def programs(draw):
    """Draw the text of a function of an array and two numbers."""
    writer = Writer(draw)
    lines = ["u = x.copy()", "v = np.zeros_like(x)"]
    for _ in range(draw(st.integers(2, 5))):
        lines += writer.statement(0, False)
    lines.append("return a + b * v[1] + (u * v).sum() + u[0], u")
    return "\n".join(["def program(x, a, b, n):", *(f"    {line}" for line in lines)]) + "\n"
