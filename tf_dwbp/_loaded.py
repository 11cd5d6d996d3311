"""The op library's generated functions. Importing this module loads the library."""

from tf_dwbp import _library

ops = _library.load()
