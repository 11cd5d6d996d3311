// Whether this library may register anything with TensorFlow.
#pragma once

namespace tf_dwbp {

// False where another copy of this library, of any version, was loaded into the process before. Its
// ops and kernels serve; ours beside them would make TensorFlow refuse both, or end the process.
// The answer is found once, before anything is registered, and stays.
bool is_first_copy();

}  // namespace tf_dwbp
