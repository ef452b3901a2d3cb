"""For libraries that extend the system: primitives of their own, and programs as data."""
