"""Writes model.onnx: `python3 model.py`, with the packages onnx and numpy.

The network predicts the noise in pictures whose pixels are Gaussian, of a mean for each channel and one deviation,
on the schedule of Stable Diffusion. For such data the best answer is known, so that the samples are too:

    eps = sigma (x - alpha m) / (alpha^2 s^2 + sigma^2)
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MEAN, STD = [0.5, 0.0, -0.25], 0.3

betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
alpha_bar = np.cumprod(1.0 - betas)
constants = {
    # alpha^2 is its sigmoid, and sigma^2 that of its negative.
    "log_snrs": np.log(alpha_bar) - np.log1p(-alpha_bar),
    "mean": np.reshape(MEAN, (1, 3, 1, 1)),
    "variance": np.array(STD**2),
}
axes = numpy_helper.from_array(np.array([1, 2, 3]), "axes")
nodes = [
    ("Gather", ["log_snrs", "t"], "log_snr_of_item"),
    ("Unsqueeze", ["log_snr_of_item", "axes"], "log_snr"),
    ("Sigmoid", ["log_snr"], "alpha_squared"),
    ("Sqrt", ["alpha_squared"], "alpha"),
    ("Neg", ["log_snr"], "log_nsr"),
    ("Sigmoid", ["log_nsr"], "sigma_squared"),
    ("Sqrt", ["sigma_squared"], "sigma"),
    ("Mul", ["alpha", "mean"], "center"),
    ("Sub", ["x", "center"], "off_center"),
    ("Mul", ["sigma", "off_center"], "numerator"),
    ("Mul", ["alpha_squared", "variance"], "variance_of_data"),
    ("Add", ["variance_of_data", "sigma_squared"], "denominator"),
    ("Div", ["numerator", "denominator"], "eps"),
]
pictures = ["n", 3, "height", "width"]
graph = helper.make_graph(
    [helper.make_node(op, inputs, [output]) for op, inputs, output in nodes],
    "gaussian",
    [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, pictures),
        helper.make_tensor_value_info("t", TensorProto.INT64, ["n"]),
    ],
    [helper.make_tensor_value_info("eps", TensorProto.FLOAT, pictures)],
    [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()] + [axes],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model)
onnx.save(model, "model.onnx")
