"""The primitives, one family a file: the whole record and the function that binds it, side by side."""
