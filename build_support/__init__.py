"""What setup.py, Bazel and .ci/run need to build the C++ part."""
