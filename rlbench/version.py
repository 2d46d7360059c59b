"""The version, where whoever prints it finds it without the package's face."""

__version__ = "0.1.0"
