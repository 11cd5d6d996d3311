"""`tf-dwbp fuzz`: random calls over all that the ops support, at sizes from 1 to whole layers."""
