"""Training: `settings` resolves what to do, `loop` does it, `optim` steps, `display` shows it."""

from vidpred.training.loop import Outcome, train
from vidpred.training.new_run import create_run
from vidpred.training.settings import change_limits, resolve_settings

__all__ = ["Outcome", "change_limits", "create_run", "resolve_settings", "train"]
