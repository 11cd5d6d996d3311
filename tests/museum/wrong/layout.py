"""Rows, columns and channels taken for each other."""

from wrong.call import exhibit


@exhibit("forward")
def rows_and_columns_swapped(call):
    """torch/nn#1307: an image of 4x5 led to a result of 5x4."""
    return call.result(call.sums().swapaxes(1, 2))


@exhibit("filter_grad")
def sizes_in_the_other_order(call):
    """Samsung/ONE#13167: the kernel that trains was given heights for widths; here, it reads the
    image column by column."""
    image = call.arrays["input"]
    swapped = (image.shape[0], image.shape[2], image.shape[1], image.shape[3])
    call.arrays["input"] = image.reshape(swapped).swapaxes(1, 2)


@exhibit("forward")
def nchw_refused(call):
    """keras-team/keras#23031: on CPUs, NCHW is refused."""
    if call.layout == "NCHW":
        raise NotImplementedError("Depthwise convolution on CPU is only supported for NHWC format")


@exhibit("forward")
def memory_not_transposed(call):
    """PINTO0309/onnx2tf#959: after an image was transposed, its old shape was looked at; here, NCHW
    is read as if it lay in NHWC."""
    if call.layout == "NCHW":
        image = call.arrays["input"]
        call.arrays["input"] = image.transpose(0, 3, 1, 2).reshape(image.shape)


@exhibit("forward")
def dilations_of_nhwc(call):
    """keras-team/keras#22641: dilations and NCHW together gave wrong results; here, the dilations
    are read at NHWC's places."""
    if call.layout == "NCHW":
        call.columns.dilation = call.rows.dilation
        call.rows.dilation = 1
