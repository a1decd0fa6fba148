"""Training: `settings` resolves what to do, `loop` does it, `optim` steps, `display` shows it."""

from vidpred.training.loop import Outcome, train
from vidpred.training.settings import change_limits, resolve_settings

__all__ = ["Outcome", "change_limits", "resolve_settings", "train"]
