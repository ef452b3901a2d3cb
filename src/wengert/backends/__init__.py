"""From a loop program to machine code, one target a file."""
