"""Comparisons of nbgrad with other libraries on the same work; see README.md beside this file."""
