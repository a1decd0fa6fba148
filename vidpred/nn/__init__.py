"""Modules with parameters that the models are built from."""

from vidpred.nn import masked_conv, tensor_train
from vidpred.nn.conv_lstm import ConvLSTM, ConvLSTMCell
from vidpred.nn.conv_tt_lstm import ConvTTLSTM, ConvTTLSTMCell
from vidpred.nn.frame_coder import FrameDecoder, FrameEncoder
from vidpred.nn.joint_linear import JointLinear
from vidpred.nn.upsample import TransposedConv2d

__all__ = [
    "ConvLSTM",
    "ConvLSTMCell",
    "ConvTTLSTM",
    "ConvTTLSTMCell",
    "FrameDecoder",
    "FrameEncoder",
    "JointLinear",
    "TransposedConv2d",
    "masked_conv",
    "tensor_train",
]
