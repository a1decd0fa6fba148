"""Evaluation: models against the truth and against the baselines, in memory that does not grow."""

from vidpred.evaluation.report import Report
from vidpred.evaluation.scores import Row, Score
from vidpred.evaluation.streaming import Contestant, evaluate, with_baselines

__all__ = ["Contestant", "Report", "Row", "Score", "evaluate", "with_baselines"]
