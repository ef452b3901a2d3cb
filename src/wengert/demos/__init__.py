"""Programs that people can run at once: ``wengert demo NAME``."""
