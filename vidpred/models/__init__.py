"""The models: one file each; `registry` knows them by name, `base` says what they have in common."""

from vidpred.models.base import ModelOptions, VideoModel
from vidpred.models.registry import MODELS, create_model

__all__ = ["MODELS", "ModelOptions", "VideoModel", "create_model"]
