"""The rules of primitives, by transformation: for libraries that define primitives of their own.

The rules are fields of the primitive's record; what stands here under the names of tables reads and sets them.
"""
