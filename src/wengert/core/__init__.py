"""What a program is: types, jaxprs, primitives, traces and arrays."""
