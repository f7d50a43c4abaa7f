"""Many examples at once: what stands in for the array of one while a function is run for all.

`levels` is a run of a function for many examples, `batched` the array of one example, `keys` how it is indexed, `rules`
what NumPy's functions are of it, `moving` how Variables come in and out. None is imported before it is needed.
"""
