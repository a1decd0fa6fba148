"""Pictures: from arrays of frames and numbers to files. Nothing here knows of models.

Blue stands for what was given (the context), orange for what was predicted, grey for the truth.
"""

from vidpred.viz.contact_sheet import write_contact_sheet
from vidpred.viz.curves import Curve, Panel, write_curves
from vidpred.viz.gif import write_gif

__all__ = ["Curve", "Panel", "write_contact_sheet", "write_curves", "write_gif"]
