"""Sparse Jacobians and Hessians: where they may differ from 0, which columns are found together, and what is found.

`patterns` follows sets of elements through the graph, `coloring` puts columns together that do not meet, `compressed`
walks once for all colours, and gives `scipy.sparse` matrices. None is imported before it is needed.
"""
