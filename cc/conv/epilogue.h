// What the forward op may do to its sums before it rounds them, add a bias and apply an activation:
// its text, and its definition for one number.
#pragma once

#include <array>
#include <string>

#include "cc/conv/activation.h"
#include "cc/conv/attributes.h"
#include "cc/conv/export.h"

namespace tf_dwbp::conv {

#define TF_DWBP_LIST(kind, name) Activation::kind,
inline constexpr std::array kActivations = {TF_DWBP_ACTIVATIONS(TF_DWBP_LIST)};
#undef TF_DWBP_LIST

// An epilogue's text: "bias", an activation's name, or both with "+" between them, such as
// bias+relu6; leaky_relu has its alpha, in digits: leaky_relu(0.2). Nothing for an empty one.
std::string to_text(const Epilogue& epilogue);

// Reads the text of one that is not empty. tf_dwbp/tools/epilogue.py accepts and refuses the same.
[[nodiscard]] Error read_epilogue(const std::string& text, Epilogue* epilogue);

// Checks what a user gave for an alpha: it has to be finite, so that a text stands for it.
[[nodiscard]] TF_DWBP_EXPORT Error check_alpha(float alpha);

// The activation of one number, by the C library: exact but for the last bit or two of a double.
double activate(const Epilogue& epilogue, double x);

}  // namespace tf_dwbp::conv
