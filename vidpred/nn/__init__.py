"""Modules with parameters that the models are built from."""

from vidpred.nn import masked_conv, tensor_train
from vidpred.nn.conv_lstm import ConvLSTM, ConvLSTMCell
from vidpred.nn.conv_tt_lstm import ConvTTLSTM, ConvTTLSTMCell
from vidpred.nn.fast_dropout import FastDropoutLinear, FastDropoutRNN
from vidpred.nn.frame_coder import FrameDecoder, FrameEncoder
from vidpred.nn.joint_linear import JointLinear
from vidpred.nn.sequence_priors import GaussianProcessPrior, WienerPrior
from vidpred.nn.transfer import Moments
from vidpred.nn.upsample import TransposedConv2d

__all__ = [
    "ConvLSTM",
    "ConvLSTMCell",
    "ConvTTLSTM",
    "ConvTTLSTMCell",
    "FastDropoutLinear",
    "FastDropoutRNN",
    "FrameDecoder",
    "FrameEncoder",
    "GaussianProcessPrior",
    "JointLinear",
    "Moments",
    "TransposedConv2d",
    "WienerPrior",
    "masked_conv",
    "tensor_train",
]
