"""The package's version: the one place. setup.py adds what a build is for, such as +tf2.21."""

__version__ = "0.2.0"
