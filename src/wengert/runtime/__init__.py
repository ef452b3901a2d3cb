"""What runs while a compiled program runs: calls, threads, memory, Ctrl-C."""
