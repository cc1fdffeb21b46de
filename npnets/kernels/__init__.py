"""The fast implementation: compiled loops over plain arrays. One file for each family of operations.

Nothing here checks an argument: `npnets.ops` has done so. Arrays are contiguous and of one dtype.
"""
