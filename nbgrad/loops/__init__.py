"""Derivatives of people's own loops: functions that Numba compiles, differentiated from source to source.

`nbgrad.njit` is the decorator (`differentiable`). A function is read (`syntax`), lowered to a small language with types
(`lowering`, `expressions`, `arrays` -> `language`), analysed (`analysis`), and its derivative written as Numba source:
by the way back (`reverse`) or along (`forward`), with partial derivatives from the one table of rules (`partials`).
What the way back needs is at hand, kept (`keeping`), read again (`settling`) or run again (`segments`, `replaying`);
threads share turns in `pieces`. NumPy's functions that are loops of the language itself are in `library`.
"""
