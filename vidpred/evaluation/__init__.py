"""Evaluation: models against the truth and against the baselines, in memory that does not grow."""

from vidpred.evaluation.comparison import Evaluated, Setting, compare, describe, machine
from vidpred.evaluation.gallery import Gallery
from vidpred.evaluation.report import Report
from vidpred.evaluation.scores import Row, Score
from vidpred.evaluation.streaming import Contestant, evaluate, with_baselines
from vidpred.evaluation.study import NEW, SEEN, Study, presets_of
from vidpred.evaluation.values import Values, writing_values

__all__ = [
    "NEW",
    "SEEN",
    "Contestant",
    "Evaluated",
    "Gallery",
    "Report",
    "Row",
    "Score",
    "Setting",
    "Study",
    "Values",
    "compare",
    "describe",
    "evaluate",
    "machine",
    "presets_of",
    "with_baselines",
    "writing_values",
]
