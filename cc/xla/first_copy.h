// Whether this library may register anything with XLA. No TensorFlow and no XLA: see request.h.
#pragma once

namespace tf_dwbp::xla {

// False where XLA knows the ops already, from another copy of this library. XLA ends the process
// where an op is registered twice. The answer is found once, before anything is registered, and
// stays.
bool is_first_copy();

}  // namespace tf_dwbp::xla
