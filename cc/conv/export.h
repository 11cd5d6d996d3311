// What the op library exports. The XLA library, which is loaded after it, calls these functions of
// its neighbour's, and so carries neither checks nor kernels of its own. All else is hidden.
#pragma once

#define TF_DWBP_EXPORT __attribute__((visibility("default")))
