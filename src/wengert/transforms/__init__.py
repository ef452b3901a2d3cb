"""The transformations of programs, one a file."""
