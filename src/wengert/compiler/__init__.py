"""The compiler: from a jaxpr to a loop program, by short passes; see docs/architecture.md."""
